#!/usr/bin/env Rscript
# Tests of two and three groups in one factor, for tests/validation/test_group_tests.py.
# usage: Rscript group_tests.R group_tests.json
# Written with R 4.2.2, jsonlite (Debian r-base-core r-cran-jsonlite).
suppressMessages(library(jsonlite))
# counts of a binary factor (rows) by group (columns); the last ones are rare
tables <- list(c(464, 220, 229, 95, 140, 58), c(499, 185, 251, 73, 130, 68), c(677, 7, 322, 2, 193, 5), c(40, 3, 11, 0, 9, 1),
  c(599, 85, 283, 41, 160, 38), c(12, 5, 9, 3), c(630, 54, 301, 23), c(500, 4, 498, 6), c(18, 2, 9, 9), c(252, 175, 230, 120))
J <- list(R = R.version.string)
J$tables <- lapply(tables, function(v) { m <- matrix(v, nrow = 2)
  suppressWarnings(list(counts = m, expected = min(chisq.test(m)$expected), chisq = chisq.test(m, correct = FALSE)$p.value,
    corrected = chisq.test(m)$p.value, fisher = fisher.test(m, workspace = 2e7)$p.value)) })
set.seed(7, kind = "Mersenne-Twister", normal.kind = "Inversion", sample.kind = "Rejection")
x <- list(round(rnorm(60, 42, 10)), round(rnorm(40, 44, 11)), round(rnorm(25, 47, 9)))
J$ranks <- list(groups = x, kruskal = kruskal.test(x)$p.value, kruskal_of_two = kruskal.test(x[1:2])$p.value,
  wilcoxon = wilcox.test(x[[1]], x[[2]], exact = FALSE, correct = FALSE)$p.value)
write_json(J, commandArgs(TRUE)[1], auto_unbox = TRUE, digits = I(17), pretty = FALSE)
