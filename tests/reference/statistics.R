#!/usr/bin/env Rscript
# Numbers of R for a small simulated cohort, so that a clone without other data is tested against R.
# usage: Rscript statistics.R cohort.csv unmatched.csv statistics.json
# Written with R 4.2.2, survival 3.5-3, MASS 7.3-58, jsonlite (Debian r-base-core r-cran-survival r-cran-mass r-cran-jsonlite).
suppressMessages({library(survival); library(MASS); library(jsonlite)})
args <- commandArgs(TRUE)

simulate <- function(n, seed) {
  set.seed(seed, kind = "Mersenne-Twister", normal.kind = "Inversion", sample.kind = "Rejection")
  age <- round(runif(n, 18, 70)); male <- rbinom(n, 1, 0.7); ebv <- rbinom(n, 1, 0.4)
  volume <- round(rgamma(n, 4.5, scale = 6.5), 1); smoking <- rbinom(n, 1, ifelse(male == 1, 0.4, 0.05))
  prognostic <- round(2 * rbeta(n, 0.7, 2) - 1, 4); predictive <- round(runif(n, -1, 1), 4)
  ict <- rbinom(n, 1, plogis(-0.2 + 0.02 * (age - 44) + 0.5 * ebv - 0.01 * (volume - 29)))
  lp <- 0.03 * age + 0.6 * ebv + 1.5 * prognostic - 1.6 * predictive + 0.3 * ict + 3 * predictive * ict
  time <- (-log(runif(n)) / (2.2e-5 * exp(lp)))
  censored <- runif(n, 700, 3400)
  # days rounded to 30 so that times are tied, events among them
  days <- pmax(30, 30 * round(pmin(time, censored) / 30)); event <- as.integer(time <= censored)
  data.frame(patient_id = sprintf("S%03d", seq_len(n)), cohort = "training", treatment = ifelse(ict == 1, "ICT+CCRT", "CCRT"),
    age_years = age, sex = ifelse(male == 1, "M", "F"), ebv_dna_gt_4000 = ebv, tumour_volume_ml = volume,
    smoking = smoking, prognostic_score = prognostic, predictive_score = predictive, dfs_days = days, dfs_event = event)
}

D <- simulate(240, 2021)
write.csv(D, args[1], row.names = FALSE, quote = FALSE)
D$ict <- as.integer(D$treatment == "ICT+CCRT"); D$male <- as.integer(D$sex == "M")
S <- with(D, Surv(dfs_days, dfs_event))
tight <- coxph.control(eps = 1e-14, iter.max = 100, toler.chol = 1e-15)
fit <- coxph(S ~ age_years + prognostic_score + predictive_score + ict + ebv_dna_gt_4000 + predictive_score:ict, D, control = tight)
breslow <- coxph(formula(fit), D, ties = "breslow", control = tight)
J <- list(R = R.version.string, survival_version = as.character(packageVersion("survival")))
J$cptdn <- list(coef = unname(coef(fit)), covariance = unname(vcov(fit)), loglik = fit$loglik, score = fit$score, wald = unname(fit$wald.test),
  breslow = unname(coef(breslow)), zph = unname(cox.zph(fit, transform = "km")$table[, "p"]), tied_event_times = sum(table(D$dfs_days[D$dfs_event == 1]) > 1))
# survival of three patients under both arms with intervals, and the baseline at x = 0
new <- data.frame(age_years = c(40, 25, 63), prognostic_score = c(0, -0.8, 0.4), predictive_score = c(-0.4, 0.7, 0.1), ebv_dna_gt_4000 = c(1, 0, 1))
arm <- function(ict) { s <- summary(survfit(fit, newdata = cbind(new, ict = ict)), times = c(1080, 1800)); list(surv = unname(t(s$surv)), lower = unname(t(s$lower)), upper = unname(t(s$upper))) }
J$survival <- list(patients = new, ict = arm(1), ccrt = arm(0))
zero <- data.frame(age_years = 0, prognostic_score = 0, predictive_score = 0, ebv_dna_gt_4000 = 0, ict = 0)
b <- survfit(fit, newdata = zero, se.fit = FALSE); keep <- b$n.event > 0
J$baseline <- list(days = b$time[keep], cumhaz = b$cumhaz[keep])
# one factor at a time
J$univariate <- lapply(list(age_years = "age_years", sex_male = "male", smoking = "smoking", tumour_volume_ml = "tumour_volume_ml"), function(v) {
  f <- coxph(as.formula(paste("S ~", v)), D, control = tight); s <- summary(f)
  list(coef = unname(coef(f)), se = unname(sqrt(vcov(f)[1, 1])), score = unname(s$sctest["test"]), lr_p = unname(s$logtest["pvalue"]),
    logrank = if (length(unique(D[[v]])) == 2) survdiff(as.formula(paste("S ~", v)), D)$chisq else NULL) })
# interaction of the Predictive-score with the treatment
inter <- coxph(S ~ predictive_score * ict, D, control = tight); s <- summary(inter)$coefficients["predictive_score:ict", ]
J$interaction <- list(coef = unname(s["coef"]), se = unname(s["se(coef)"]), p = unname(s["Pr(>|z|)"]))
# selection
full <- coxph(S ~ age_years + male + smoking + ebv_dna_gt_4000 + tumour_volume_ml + prognostic_score + predictive_score * ict, D)
step <- stepAIC(full, direction = "both", trace = 0)
J$step <- list(start = extractAIC(full)[2], selected = attr(terms(step), "term.labels"), aic = extractAIC(step)[2])
# concordance: Harrell's by survival; survcomp's noether definition counted pair by pair
lp <- predict(fit, type = "lp", reference = "zero"); k <- concordance(S ~ lp, reverse = TRUE)
n <- nrow(D); cc <- dd <- numeric(n)
for (i in seq_len(n)) for (j in seq_len(n)) if (i != j) {
  usable <- (D$dfs_days[i] < D$dfs_days[j] && D$dfs_event[i] == 1) || (D$dfs_days[j] < D$dfs_days[i] && D$dfs_event[j] == 1)
  if (usable && lp[i] != lp[j]) { if ((lp[i] > lp[j]) == (D$dfs_days[i] < D$dfs_days[j])) cc[i] <- cc[i] + 1 else dd[i] <- dd[i] + 1 } }
pc <- sum(cc) / (n * (n - 1)); pd <- sum(dd) / (n * (n - 1)); n3 <- n * (n - 1) * (n - 2)
v <- 4 / (pc + pd)^4 * (pd^2 * sum(cc * (cc - 1)) - 2 * pc * pd * sum(cc * dd) + pc^2 * sum(dd * (dd - 1))) / n3
J$concordance <- list(harrell = k$concordance, harrell_se = sqrt(unname(k$var)), noether = pc / (pc + pd), noether_se = sqrt(v / n))
# Kaplan-Meier, log-rank and hazard ratio of the arms
km <- summary(survfit(S ~ ict, D, conf.type = "log-log"), times = c(360, 1080, 1800)); sd <- survdiff(S ~ ict, D)
J$arms <- list(survival = km$surv, se = km$std.err, lower = km$lower, upper = km$upper, n_risk = km$n.risk, chisq = sd$chisq, expected = sd$exp, coef = unname(coef(coxph(S ~ ict, D, control = tight))))
J$follow_up <- unname(quantile(survfit(Surv(dfs_days, 1 - dfs_event) ~ 1, D), c(.25, .5, .75))$quantile)
# calibration in five groups under the arm received
h <- summary(survfit(fit, newdata = zero, se.fit = FALSE), times = 1800)$cumhaz; p <- exp(-h * exp(lp))
g <- as.integer(cut(p, quantile(p, 0:5 / 5), include.lowest = TRUE))
J$calibration <- lapply(1:5, function(i) { s <- summary(survfit(S[g == i] ~ 1), times = 1800, extend = TRUE); list(n = sum(g == i), predicted = mean(p[g == i]), km = s$surv, se = s$std.err) })
# 1:1 greedy nearest neighbour from the highest propensity down, within centres and a caliper
U <- simulate(300, 2022); U <- U[, 1:10]; U$tumour_volume_ml <- U$tumour_volume_ml + round(runif(300, -.05, .05), 6); U$centre <- sample(1:3, 300, TRUE)
write.csv(U, args[2], row.names = FALSE, quote = FALSE)
U$male <- as.integer(U$sex == "M"); U$ict <- as.integer(U$treatment == "ICT+CCRT"); U$focal <- if (sum(U$ict) <= sum(1 - U$ict)) U$ict else 1 - U$ict
model <- glm(focal ~ male + age_years + smoking + tumour_volume_ml + ebv_dna_gt_4000, binomial, U, control = list(epsilon = 1e-14)); ps <- fitted(model)
greedy <- function(caliper, centres) { o <- order(-ps); free <- U$focal == 0; pairs <- list()
  for (i in o[U$focal[o] == 1]) { d <- abs(ps - ps[i]); d[!free] <- Inf; if (centres) d[U$centre != U$centre[i]] <- Inf
    k <- o[which.min(d[o])]; if (is.finite(d[k]) && d[k] <= caliper) { free[k] <- FALSE; pairs[[length(pairs) + 1]] <- c(U$patient_id[i], U$patient_id[k]) } }
  do.call(rbind, pairs) }
J$matching <- list(propensity = unname(ps[1:5]), plain = greedy(Inf, FALSE), caliper = greedy(0.1 * sd(ps), FALSE), centres = greedy(Inf, TRUE))
J$tests <- list(wilcoxon = wilcox.test(age_years ~ ict, D, exact = FALSE, correct = FALSE)$p.value, chisq = chisq.test(D$smoking, D$ict, correct = FALSE)$p.value, fisher = fisher.test(D$smoking[1:14], D$ict[1:14])$p.value)
J$pretty <- lapply(list(c(14, 72), c(-0.8996, 0.9976), c(0, 244.4), c(3, 17), c(18.2, 69.9), c(-0.31, 0.28)), function(r) list(range = r, pretty = pretty(r, n = 10)))
write_json(J, args[3], auto_unbox = TRUE, digits = I(17), pretty = FALSE, null = "null")
