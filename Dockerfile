# The service on the CPU, as an ordinary user, with TLS left to a proxy in front of it.
#
#   docker build -t medsam-segment .
#   docker run --rm -v medsam-models:/models -e MEDSAM_MODEL_DIR=/models medsam-segment \
#     medsam-segment models pull lite_medsam
#   docker run --rm -p 127.0.0.1:8000:8000 --read-only --tmpfs /tmp:size=8g --cap-drop ALL \
#     -v medsam-models:/models -e MEDSAM_SERVICE_TOKEN medsam-segment
#
# Images that clients send lie in /tmp only: as a tmpfs they never reach a disk.
FROM python:3.12-slim

# The index of torch's builds for processors alone, which PyTorch's page "Get started" names.
ARG TORCH_INDEX=
RUN useradd --create-home --uid 10001 medsam \
 && install -d -o medsam -g medsam /models /cache /opt/medsam
COPY --chown=medsam pyproject.toml README.md LICENSE /opt/medsam/
COPY --chown=medsam MedSAMSegmentLib /opt/medsam/MedSAMSegmentLib
RUN pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} "torch>=2.4" \
 && pip install --no-cache-dir "/opt/medsam[service,openvino,dicom]"

USER medsam
ENV MEDSAM_MODEL_DIR=/models MEDSAM_CACHE_DIR=/cache PYTHONUNBUFFERED=1
VOLUME ["/models", "/cache"]
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/ready')"]
# The weights come from the volume; nothing is fetched when it starts.
CMD ["medsam-segment", "serve", "--host", "0.0.0.0", "--behind-proxy", "--offline"]
