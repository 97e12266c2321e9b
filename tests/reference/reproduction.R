#!/usr/bin/env Rscript
# R's answers for values of `cptdn nomogram reproduce` on a small simulated cohort, by the keys of the command.
# Patients 1 to 120 are training, 121 to 180 internal, 181 to 240 external; EBV DNA of 181 to 190 is unknown.
# usage: Rscript reproduction.R statistics_cohort.csv reproduction.json
# Written with R 4.2.2, survival 3.5-3, jsonlite (Debian r-base-core r-cran-survival r-cran-jsonlite).
suppressMessages({library(survival); library(jsonlite)})
args <- commandArgs(TRUE); D <- read.csv(args[1]); n <- nrow(D)
D$cohort <- rep(c("training", "internal", "external"), c(120, 60, 60)); D$ebv <- D$ebv_dna_gt_4000; D$ebv[181:190] <- NA
D$ict <- as.integer(D$treatment == "ICT+CCRT"); D$male <- as.integer(D$sex == "M")
tight <- coxph.control(eps = 1e-14, iter.max = 100, toler.chol = 1e-15)
J <- list(); put <- function(key, value) J[[key]] <<- unname(value)
part <- function(label) D[D$cohort == label, ]
training <- part("training")
scores <- coxph(Surv(dfs_days, dfs_event) ~ prognostic_score + predictive_score * ict, training, control = tight)
cptdn <- coxph(Surv(dfs_days, dfs_event) ~ age_years + prognostic_score + predictive_score * ict + ebv, training, control = tight)
b <- coef(cptdn); cut <- mean(predict(cptdn, type = "lp", reference = "zero"))
lp <- function(fit, data) as.vector(model.matrix(delete.response(terms(fit)), model.frame(delete.response(terms(fit)), data, na.action = na.pass))[, names(coef(fit))] %*% coef(fit))
noether <- function(risk, data) { m <- nrow(data); cc <- dd <- numeric(m)  # survcomp's definition, counted pair by pair
  for (i in seq_len(m)) for (j in seq_len(m)) if (i != j && risk[i] != risk[j]) { first <- if (data$dfs_days[i] < data$dfs_days[j]) i else j
    if (data$dfs_days[i] != data$dfs_days[j] && data$dfs_event[first] == 1) {
      if ((risk[i] > risk[j]) == (first == i)) cc[i] <- cc[i] + 1 else dd[i] <- dd[i] + 1 } }
  pc <- sum(cc) / (m * (m - 1)); pd <- sum(dd) / (m * (m - 1)); n3 <- m * (m - 1) * (m - 2)
  v <- 4 / (pc + pd)^4 * (pd^2 * sum(cc * (cc - 1)) - 2 * pc * pd * sum(cc * dd) + pc^2 * sum(dd * (dd - 1))) / n3
  c(pc / (pc + pd), pc / (pc + pd) + c(-1, 1) * qnorm(.975) * sqrt(v / m)) }
concordances <- function(key, risk, data) { c3 <- noether(risk, data); h <- concordance(Surv(dfs_days, dfs_event) ~ risk, data, reverse = TRUE)
  put(paste0(key, ".c"), c3[1]); put(paste0(key, ".lo"), c3[2]); put(paste0(key, ".hi"), c3[3])
  put(paste0(key, ".harrell_survival.c"), h$concordance) }
for (label in c("training", "internal", "external")) { d <- part(label); complete <- d[!is.na(d$ebv), ]
  put(sprintf("table1.%s.n", label), nrow(d)); put(sprintf("table1.%s.age.median", label), median(d$age_years))
  put(sprintf("table1.%s.sex.male.n", label), sum(d$male)); put(sprintf("table1.%s.sex.female.pct", label), 100 * mean(d$male == 0))
  put(sprintf("table1.%s.EBV_4k.ebvH.n", label), sum(d$ebv, na.rm = TRUE)); put(sprintf("table1.%s.EBV_4k.ebvH.pct", label), 100 * mean(d$ebv, na.rm = TRUE))
  put(sprintf("table1.%s.EBV_4k.unknown", label), sum(is.na(d$ebv))); put(sprintf("table1.%s.tumor_volume_ml.mean", label), mean(d$tumour_volume_ml))
  put(sprintf("events.%s.DFS.n", label), sum(d$dfs_event)); put(sprintf("events.%s.DFS.pct", label), 100 * mean(d$dfs_event))
  interaction <- coxph(Surv(dfs_days, dfs_event) ~ predictive_score * ict, d, control = tight)
  put(sprintf("predictive_interaction.%s.wald_p_interaction", label), summary(interaction)$coefficients["predictive_score:ict", "Pr(>|z|)"])
  for (arm in c("all", "ccrt", "ict")) { inside <- switch(arm, all = rep(TRUE, nrow(d)), ccrt = d$ict == 0, ict = d$ict == 1); known <- inside & !is.na(d$ebv)
    concordances(sprintf("cindex.prog.%s.%s", label, arm), d$prognostic_score[inside], d[inside, ])
    concordances(sprintf("cindex.radiomic.%s.%s", label, arm), lp(scores, d)[inside], d[inside, ])
    concordances(sprintf("cindex.cptdn.%s.%s", label, arm), lp(cptdn, d)[known], d[known, ])
    k <- d[known, ]; k$high <- lp(cptdn, k) > cut
    put(sprintf("risk.meanlp.%s.%s.DFS.logrank_p", label, arm), pchisq(survdiff(Surv(dfs_days, dfs_event) ~ high, k)$chisq, 1, lower.tail = FALSE)) }
  # S_ICT > S_CCRT where the linear predictor under ICT+CCRT is the smaller one
  complete$prefer <- b["ict"] + b["predictive_score:ict"] * complete$predictive_score < 0
  for (group in c("ict_preferred", "ccrt_preferred")) { g <- complete[complete$prefer == (group == "ict_preferred"), ]; key <- sprintf("decision.arm01.th0pct.%s.%s.DFS", label, group)
    fit <- coxph(Surv(dfs_days, dfs_event) ~ ict, g, control = tight); ci <- exp(confint(fit))
    put(paste0(key, ".logrank_p"), pchisq(survdiff(Surv(dfs_days, dfs_event) ~ ict, g)$chisq, 1, lower.tail = FALSE))
    if (min(tapply(g$dfs_event, g$ict, sum)) > 0) { put(paste0(key, ".hr"), exp(coef(fit))); put(paste0(key, ".hr_lo"), ci[1]); put(paste0(key, ".hr_hi"), ci[2]) } } }
# arms: chi-squared without correction, Fisher below 5 expected; cohorts: the rule of the published script
two <- function(v, g) { t <- table(v, g); if (length(unique(na.omit(v))) > 2) return(kruskal.test(v, factor(g))$p.value)
  if (min(suppressWarnings(chisq.test(t)$expected)) < 5) fisher.test(t)$p.value else chisq.test(t, correct = FALSE)$p.value }
rule <- function(v, g) { t <- table(v, g); if (length(unique(na.omit(v))) > 2) return(kruskal.test(v, factor(g))$p.value)
  e <- min(suppressWarnings(chisq.test(t)$expected))
  p <- if (sum(t) < 40 || e < 1) fisher.test(t)$p.value else suppressWarnings(chisq.test(t, correct = e < 5)$p.value)
  if ((p < .07 && p > .03) || p > .99) fisher.test(t)$p.value else p }
named <- c(age = "age_years", sex = "male", EBV_4k = "ebv", smokingcut = "smoking", tumor_volume = "tumour_volume_ml")
for (key in names(named)) { v <- D[[named[key]]]; other <- D$cohort == "external"
  put(sprintf("balance.centre1.%s.p", key), two(v[!other], D$ict[!other])); put(sprintf("balance.external.%s.p", key), two(v[other], D$ict[other]))
  put(sprintf("between_cohorts.%s.p", key), rule(v, D$cohort)) }
put("between_cohorts.treatment.p", rule(D$ict, D$cohort)); put("between_cohorts.DFS.p", rule(D$dfs_event, D$cohort))
write_json(J, args[2], auto_unbox = TRUE, digits = I(17), pretty = FALSE)
