"""The CVPR challenges on cases of their own format: answers, scores, and the run of a box and five clicks."""
