#!/bin/sh
# Answer every case of /workspace/inputs; the evaluators of both challenges call this file by its name.
#
# The organisers start a container for each case, and for each step of it: the model is loaded anew each time, and what
# preparing OpenVINO would gain is not earned back. A case that cannot be answered stops no other.
set -eu

exec medsam-segment challenge predict --year "${CHALLENGE_YEAR:-25}" \
  -i "${CHALLENGE_INPUTS:-/workspace/inputs}" -o "${CHALLENGE_OUTPUTS:-/workspace/outputs}" \
  --engine "${CHALLENGE_ENGINE:-torch}" --offline --overwrite
