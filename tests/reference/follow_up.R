# Poisson regression with an exposure, exact Poisson intervals of a ratio, Wilson intervals of a share, by R.
# Rscript follow_up.R statistics_cohort.csv > follow_up.json
# Written with R 4.2.2 (stats).
suppressMessages(library(jsonlite))
D <- read.csv(commandArgs(TRUE)[1])
D <- D[!is.na(D$ebv_dna_gt_4000), ]
ict <- as.integer(D$treatment == "ICT+CCRT")
effect <- (ict - 0.5) * D$predictive_score
fit <- glm(dfs_event ~ prognostic_score + effect, family = poisson, offset = log(dfs_days / 1000), data = D,
  control = glm.control(epsilon = 1e-14, maxit = 100))
small <- glm(dfs_event ~ effect, family = poisson, offset = log(dfs_days / 1000), data = D,
  control = glm.control(epsilon = 1e-14, maxit = 100))
ratio <- function(o, e) { p <- poisson.test(o, e); c(unname(p$estimate), p$conf.int) }
share <- function(k, n) { p <- prop.test(k, n, correct = FALSE); c(unname(p$estimate), p$conf.int) }
cat(toJSON(list(
  n = nrow(D), n_events = sum(D$dfs_event), coefficients = unname(coef(fit)), covariance = unname(vcov(fit)),
  lr_p = unname(pchisq(small$deviance - fit$deviance, 1, lower.tail = FALSE)),
  ratios = list(ratio(0, 4.2), ratio(17, 21.5), ratio(99, 50.3)),
  shares = list(share(0, 12), share(312, 421), share(750, 1000))
), auto_unbox = TRUE, digits = 17, pretty = TRUE), "\n")
