"""Every threshold of a verdict beside its reason."""

# Share of the repeatable variance, (r / ceiling)^2. Half: the student then explains more of what can be explained than it
# leaves. A quarter: half of the best possible correlation, below which a ranking of sequences is mostly wrong.
CEILING_PASS, CEILING_WARN = 0.5, 0.25

# Smallest gain in r over the k-mer ridge that counts, beside lying outside the bootstrap interval: less than this is lost
# again by another seed (individual members of one ensemble differ by about 0.01 to 0.02 in r).
RIDGE_GAIN = 0.02

# Share of what the ensemble gains over its members that the student keeps. Half: the distillation is worth its time.
KEPT_PASS = 0.5
# A gain smaller than this in r cannot be divided: the share would be noise.
SMALLEST_GAIN = 0.005

# Distance of coverage from its level, beyond what chance allows (95 % of calibration and test sets of that size). 0.02 is the
# goal of the method's calibration; at 0.07 a 90 % interval misses nearly twice as often as it says.
COVERAGE_PASS, COVERAGE_WARN = 0.02, 0.07

# The same for the worst cell, which is the most extreme of some thirty: a tenth below the level, a fifth below it.
CELL_PASS, CELL_WARN = 0.10, 0.20

# Agreement of the student's epistemic std with the ensemble's, sequence by sequence: at 0.7 half of the variance is shared.
EPISTEMIC_PASS, EPISTEMIC_WARN = 0.7, 0.4
# Size of the student's epistemic std over the ensemble's: a quarter too small or too large, a factor of two.
RATIO_PASS, RATIO_WARN = 1.25, 2.0

# Fewest measured values of a correlation: that of two points is 1 or -1, whatever they are.
FEWEST_OF_R = 3

# Fewest test sequences: the 95 % interval of a correlation of 0.6 is then about +- 0.08 (Fisher's z, n = 250).
TEST_ROWS = 250

# Share of the networks that stop early whose best epoch is their last: they had not stopped improving.
UNFINISHED_WARN = 0.5

# Of a normal distribution, 95 % lies within so many standard deviations.
Z95 = 1.96
