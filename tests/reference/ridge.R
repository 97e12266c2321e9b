# A ridge-penalised Cox fit by survival::ridge, and the cross-validated partial likelihood by penalty.
# Rscript ridge.R > ridge.json   (beside statistics_cohort.csv; R 4.2.2, survival 3.5-3)
suppressMessages({library(survival); library(jsonlite)})
D <- read.csv("statistics_cohort.csv")
D$ict <- as.integer(D$treatment == "ICT+CCRT")
X <- with(D, cbind(age_years, prognostic_score, predictive_score, ict, ebv_dna_gt_4000, predictive_score * ict))
S <- with(D, Surv(dfs_days, dfs_event))
tight <- coxph.control(eps = 1e-14, iter.max = 100, toler.chol = 1e-15, outer.max = 50)
ridge_fit <- function(x, s, theta) {
  d <- data.frame(x); names(d) <- paste0("x", seq_len(ncol(x)))
  coxph(as.formula(sprintf("s ~ ridge(x1, x2, x3, x4, x5, x6, theta = %.17g, scale = FALSE)", theta)), d, control = tight)
}
d <- data.frame(X); names(d) <- paste0("x", 1:6)
J <- list(survival = as.character(packageVersion("survival")))
J$fits <- lapply(c(1, 20), function(theta) {
  fit <- coxph(as.formula(sprintf("S ~ ridge(x1, x2, x3, x4, x5, x6, theta = %g, scale = TRUE)", theta)), d, control = tight)
  list(penalty = theta, coef = unname(coef(fit)), covariance = unname(fit$var), loglik = fit$loglik[2], df = sum(fit$df))
})
# the same folds as the program: given as a column by the test
Z <- scale(X); fold <- (seq_len(nrow(D)) - 1) %% 5
at <- function(x, s, beta) coxph(s ~ x, init = beta, control = coxph.control(iter.max = 0))$loglik[2]
penalties <- 10^(seq(-5, 15) / 5)
J$cross_validated <- sapply(penalties, function(theta) sum(sapply(0:4, function(k) {
  out <- fold != k; beta <- coef(ridge_fit(Z[out, ], S[out], theta)); at(Z, S, beta) - at(Z[out, ], S[out], beta) })))
J$best_penalty <- penalties[which.max(J$cross_validated)]
cat(toJSON(J, auto_unbox = TRUE, digits = 17), "\n")
