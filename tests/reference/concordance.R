# C-indices within strata, and the difference of two C-indices on the same patients, by survival::concordance.
# Rscript concordance.R > concordance.json   (beside statistics_cohort.csv)
library(survival)

d <- read.csv("statistics_cohort.csv")
d$fold <- (seq_len(nrow(d)) - 1) %% 3 + 1
d$first <- d$prognostic_score
d$second <- round(d$prognostic_score + d$predictive_score, 1)  # with ties

strata_of <- function(name) {
  model <- as.formula(paste("Surv(dfs_days, dfs_event) ~", name, "+ strata(fold)"))
  concordance(model, data = d, reverse = TRUE, influence = 1)
}
one <- strata_of("first")
two <- strata_of("second")
plain_one <- concordance(Surv(dfs_days, dfs_event) ~ first, data = d, reverse = TRUE, influence = 1)
plain_two <- concordance(Surv(dfs_days, dfs_event) ~ second, data = d, reverse = TRUE, influence = 1)

said <- function(c) sprintf('{"value": %.15g, "se": %.15g}', c$concordance, sqrt(c$var))
difference <- function(a, b) {
  sprintf('{"value": %.15g, "se": %.15g}', a$concordance - b$concordance, sqrt(sum((a$dfbeta - b$dfbeta)^2)))
}
cat("{\n")
cat(' "survival": "', as.character(packageVersion("survival")), '",\n', sep = "")
cat(' "strata": {"first": ', said(one), ', "second": ', said(two), ', "difference": ', difference(one, two), "},\n", sep = "")
cat(' "all": {"first": ', said(plain_one), ', "second": ', said(plain_two), ', "difference": ',
    difference(plain_one, plain_two), "}\n", sep = "")
cat("}\n")
