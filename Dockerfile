# Two stages: the first has a compiler (the AMQP engine comes as source only), the second only what runs.
#
#   docker build -t idscope .
#   docker run -p 443:443 -p 8883:8883 -p 5671:5671 -v idscope-data:/data idscope
#
# Names that clients use for this container go into IDSCOPE_HOST_NAMES and IDSCOPE_HUB_HOST_NAMES; see
# docs/reference/settings.md. The operator listener stays inside unless IDSCOPE_OPERATOR_ADDRESS says otherwise.

FROM python:3.11-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/idscope
WORKDIR /source
COPY requirements.lock ./
RUN /opt/idscope/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN /opt/idscope/bin/pip install --no-cache-dir --no-deps . \
    && /opt/idscope/bin/idscope --version

FROM python:3.11-slim
COPY --from=build /opt/idscope /opt/idscope
# A mounted volume takes owner and mode of this directory when it is first used.
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin idscope \
    && install -d -o idscope -g idscope -m 0700 /data
ENV PATH=/opt/idscope/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    IDSCOPE_DATA_DIRECTORY=/data \
    IDSCOPE_LISTEN_ADDRESS=0.0.0.0 \
    IDSCOPE_OPERATOR_PLAIN_PORT=9080
USER idscope
WORKDIR /data
VOLUME /data
# 443: HTTPS and WebSocket; 8883: MQTT; 5671: AMQP. 9443: operator listener. 9080: /healthz and /readyz in plain HTTP.
EXPOSE 443 8883 5671 9443 9080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:%s/healthz' % os.environ['IDSCOPE_OPERATOR_PLAIN_PORT'], timeout=2)"]
ENTRYPOINT ["idscope"]
CMD ["serve"]
