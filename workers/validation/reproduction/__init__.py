"""The printed values of the paper beside what this program computes from rows of its cohorts."""
