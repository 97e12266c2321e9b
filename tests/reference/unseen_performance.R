# Calibration slope and intercept, integrated calibration index, Brier score and index of prediction accuracy by R.
# Rscript unseen_performance.R COHORT.csv > OUT.json
#   statistics_cohort.csv -> unseen_performance.json; ../shared/reference/cohort_simulated.csv -> unseen_performance_simulated.json
# Written with R 4.2.2, survival 3.5-3, rms 6.5-0, riskRegression 2022.11.28 (Debian).
suppressMessages({library(survival); library(rms); library(riskRegression); library(jsonlite)})
D <- read.csv(commandArgs(TRUE)[1])
D <- D[!is.na(D$ebv_dna_gt_4000), ]
D$fold <- (seq_len(nrow(D)) - 1) %% 3 + 1
ict <- as.integer(D$treatment == "ICT+CCRT")
# a model with fixed coefficients that fits badly on purpose; hazards of the three folds differ
D$risk <- with(D, 0.03 * age_years + 2 * prognostic_score - predictive_score + 2 * predictive_score * ict)
hazard <- c(0.010, 0.012, 0.015)[D$fold]
tight <- coxph.control(eps = 1e-14, iter.max = 100, toler.chol = 1e-15)
S <- with(D, Surv(dfs_days, dfs_event))
J <- list(survival = as.character(packageVersion("survival")), riskRegression = as.character(packageVersion("riskRegression")), n = nrow(D), n_events = sum(D$dfs_event))
J$slope <- unname(coef(coxph(S ~ risk, D, control = tight)))
J$slope_in_folds <- unname(coef(coxph(S ~ risk + strata(fold), D, control = tight)))
k <- concordance(S ~ risk + strata(fold), D, reverse = TRUE)
J$c_in_folds <- c(k$concordance, sqrt(unname(k$var)))
for (month in c(36, 60)) {
  days <- month * 30
  D$p <- exp(-hazard * (month / 36) * exp(D$risk))
  D$eta <- log(-log(D$p))
  # intercept: log cumulative hazard of a Cox model whose coefficient of eta is fixed at 1
  offset_fit <- coxph(S ~ eta, D, init = 1, control = coxph.control(iter.max = 0))
  intercept <- log(summary(survfit(offset_fit, newdata = data.frame(eta = 0), se.fit = FALSE), times = days)$cumhaz)
  # Austin et al. 2020: restricted cubic spline with 3 knots (0.1, 0.5, 0.9) of the complementary log-log
  smooth <- coxph(S ~ rcs(eta, quantile(eta, c(.1, .5, .9))), D, control = tight)
  observed <- summary(survfit(smooth, newdata = D, se.fit = FALSE), times = days)$surv
  score <- Score(list(model = matrix(1 - D$p, ncol = 1)), Surv(dfs_days, dfs_event) ~ 1, data = D, times = days,
    metrics = "brier", summary = "ipa", cens.model = "km", se.fit = FALSE, contrasts = FALSE)$Brier$score
  pick <- function(column, model) score[[column]][score$model == model]
  J[[paste0("at_", month)]] <- list(intercept = intercept, ici = mean(abs(D$p - observed)),
    brier = pick("Brier", "model"), brier_null = pick("Brier", "Null model"), ipa = pick("IPA", "model"))
}
cat(toJSON(J, auto_unbox = TRUE, digits = 17, pretty = TRUE), "\n")
