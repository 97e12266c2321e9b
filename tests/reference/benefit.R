# Benefit of following a recommendation, restricted means, AUC at a horizon and optimism by R.
# Rscript benefit.R COHORT.csv > OUT.json
#   statistics_cohort.csv -> benefit.json; ../shared/reference/cohort_simulated.csv -> benefit_simulated.json
# Written with R 4.2.2, survival 3.5-3, Hmisc 4.8-0, riskRegression 2022.11.28 (Debian). What no package has (policy
# values, c-for-benefit) is written here from its definition, with loops over patients and pairs.
suppressMessages({library(survival); library(Hmisc); library(riskRegression); library(jsonlite)})
D <- read.csv(commandArgs(TRUE)[1])
D <- D[!is.na(D$ebv_dna_gt_4000), ]
n <- nrow(D); tau <- 1800
A <- as.integer(D$treatment == "ICT+CCRT"); D$A <- A
D$sex_male <- as.integer(D$sex == "M")
# a model with fixed coefficients that is not that of these data
predicted <- function(a) exp(-0.02 * exp(with(D, 0.03 * age_years + 2 * prognostic_score - predictive_score + 2 * predictive_score * a + 0.2 * a)))
S1 <- predicted(1); S0 <- predicted(0); gain <- S1 - S0; choose_ict <- gain > 0
covariates <- c("sex_male", "age_years", "smoking", "drinking", "family_history", "haemoglobin_abnormal", "tumour_volume_ml", "ebv_dna_gt_4000", "prognostic_score", "predictive_score")
covariates <- covariates[sapply(covariates, function(v) !is.null(D[[v]]) && !anyNA(D[[v]]))]
enough <- sapply(covariates, function(v) length(unique(D[[v]])) > 2 || min(table(D[[v]], A)) >= 10)
covariates <- covariates[enough]
model <- glm(reformulate(covariates, "A"), binomial, D, control = glm.control(epsilon = 1e-14, maxit = 100))
e <- fitted(model); w <- ifelse(A == 1, 1 / e, 1 / (1 - e))
km_at <- function(rows, weights, t = tau) {
  fit <- survfit(Surv(dfs_days, dfs_event) ~ 1, D[rows, ], weights = weights[rows])
  s <- summary(fit, times = t, extend = TRUE); s$surv }
rmean_of <- function(rows, weights) {
  fit <- survfit(Surv(dfs_days, dfs_event) ~ 1, D[rows, ], weights = weights[rows])
  summary(fit, rmean = tau)$table[c("rmean", "se(rmean)")] }
one <- rep(1, n)
pseudo <- rep(NA, n)
for (a in 0:1) { rows <- which(A == a); k <- length(rows); whole <- km_at(rows, one)
  for (i in seq_along(rows)) pseudo[rows[i]] <- k * whole - (k - 1) * km_at(rows[-i], one) }
robust <- cbind(S0 + (A == 0) / (1 - e) * (pseudo - S0), S1 + (A == 1) / e * (pseudo - S1))
value <- function(rule) c(km_at(which(A == rule), w), mean(ifelse(rule == 1, robust[, 2], robust[, 1])))
J <- list(survival = as.character(packageVersion("survival")), n = n, covariates = covariates, propensity = unname(e[1:10]),
  pseudo = pseudo[1:20], value = list(ccrt = value(rep(0, n)), ict = value(rep(1, n)), recommendation = value(as.integer(choose_ict))))
thresholds <- c(-0.1, 0, 0.02, 0.05, 0.1)
J$curve <- sapply(thresholds, function(t) mean(ifelse(gain > t, robust[, 2], robust[, 1])))
J$net_benefit <- J$curve - mean(robust[, 1]) - thresholds * sapply(thresholds, function(t) mean(gain > t))
difference <- robust[, 2] - robust[, 1]
J$slope <- unname(coef(lm(difference ~ gain)))[2:1]
knots <- quantile(gain, c(.1, .5, .9)); basis <- rcspline.eval(gain, knots = knots, inclx = TRUE)
distance <- abs(gain - fitted(lm(difference ~ basis)))
J$e_for_benefit <- c(mean(distance), unname(quantile(distance, c(.5, .9))))
edges <- quantile(gain, c(0, .25, .5, .75, 1)); group <- as.integer(cut(gain, edges, include.lowest = TRUE))
J$groups <- lapply(1:4, function(g) list(n = sum(group == g), predicted = mean(gain[group == g]),
  observed = km_at(which(group == g & A == 1), w) - km_at(which(group == g & A == 0), w)))
J$rmst_weighted <- c(rmean_of(which(A == 0), w)[1], rmean_of(which(A == 1), w)[1])
plain <- list(rmean_of(which(A == 0), one), rmean_of(which(A == 1), one))
J$rmst <- list(ccrt = unname(plain[[1]]), ict = unname(plain[[2]]))
# c-for-benefit: greedy pairs on the predicted gain, then all pairs of pairs; censoring weights by arm
ipcw <- rep(0, n)
for (a in 0:1) { rows <- which(A == a)
  G <- function(t, left) { d <- D$dfs_days[rows]; ev <- D$dfs_event[rows]; g <- 1
    for (u in sort(unique(d[ev == 0]))) if (if (left) u < t else u <= t) g <- g * (1 - sum(d == u & ev == 0) / (sum(d >= u) - sum(d == u & ev == 1))); g }
  for (i in rows) ipcw[i] <- if (D$dfs_days[i] > tau) 1 / G(tau, FALSE) else if (D$dfs_event[i] == 1) 1 / G(D$dfs_days[i], TRUE) else 0 }
focal_arm <- as.integer(sum(A == 1) <= sum(A == 0)); by_gain <- order(-gain)
focal <- by_gain[A[by_gain] == focal_arm]; others <- by_gain[A[by_gain] != focal_arm]; pairs <- NULL
for (i in focal) { at <- which.min(abs(gain[others] - gain[i])); pairs <- rbind(pairs, c(i, others[at])); others <- others[-at] }
ict <- ifelse(A[pairs[, 1]] == 1, pairs[, 1], pairs[, 2]); ccrt <- ifelse(A[pairs[, 1]] == 1, pairs[, 2], pairs[, 1])
b <- (D$dfs_days[ict] > tau) - (D$dfs_days[ccrt] > tau); p <- (gain[ict] + gain[ccrt]) / 2; v <- ipcw[ict] * ipcw[ccrt]
right <- total <- 0
for (k in seq_along(b)) { l <- which(b[k] > b); total <- total + v[k] * sum(v[l])
  right <- right + v[k] * sum(v[l] * ((p[k] > p[l]) + (p[k] == p[l]) / 2)) }
J$c_for_benefit <- right / total
received <- ifelse(A == 1, S1, S0)
score <- Score(list(model = matrix(1 - received, ncol = 1)), Surv(dfs_days, dfs_event) ~ 1, data = D, times = tau,
  metrics = "auc", cens.model = "km", se.fit = FALSE, contrasts = FALSE, null.model = FALSE)
J$auc_60 <- score$AUC$score$AUC[1]
# Harrell's optimism with five resamples by Park and Miller's generator, seeds 1 to 5
resample <- function(b) { r <- b; sapply(seq_len(n), function(i) { r <<- (16807 * r) %% 2147483647; 1 + r %% n }) }
tight <- coxph.control(eps = 1e-14, iter.max = 100, toler.chol = 1e-15)
terms <- Surv(dfs_days, dfs_event) ~ age_years + ebv_dna_gt_4000 + prognostic_score + predictive_score * A
apparent <- coxph(terms, D, control = tight)
cindex <- function(data, lp) unname(concordance(Surv(dfs_days, dfs_event) ~ lp, cbind(data, lp = lp), reverse = TRUE)$concordance)
X <- model.matrix(terms, D)[, -1]
lost <- sapply(1:5, function(b) { rows <- resample(b)
  fit <- coxph(terms, D[rows, ], control = tight); lp <- drop(X %*% coef(fit))
  c(cindex(D[rows, ], lp[rows]) - cindex(D, lp), 1 - unname(coef(coxph(Surv(dfs_days, dfs_event) ~ lp, cbind(D, lp = lp), control = tight)))) })
J$optimism <- list(c_apparent = cindex(D, drop(X %*% coef(apparent))), c_optimism = mean(lost[1, ]), slope_optimism = mean(lost[2, ]))
# proportional hazards of the treatment among those for whom ICT is preferred
fit <- coxph(Surv(dfs_days, dfs_event) ~ A, D[choose_ict, ], control = tight)
J$zph <- unname(cox.zph(fit, transform = "km")$table["A", "p"])
cat(toJSON(J, auto_unbox = TRUE, digits = 17, pretty = TRUE), "\n")
