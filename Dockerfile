# Two images from one file:
#   docker build --target agent    -t perfprofile-agent .
#   docker build --target operator -t perfprofile-operator .     (runs the gateway too)
# What changes seldom comes first, so that a change of the sources makes one small new layer in each image.
# A machine's own pip.conf, apt.conf and authorities may be lent as secrets (pip, apt, ca); none is needed, and none stays in a layer.

FROM debian:trixie-slim AS python
RUN --mount=type=secret,id=apt,target=/etc/apt/apt.conf.d/99machine \
    apt-get update --quiet && \
    apt-get install --quiet --yes --no-install-recommends ca-certificates python3 && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
ENV PATH=/opt/perfprofile/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1

# pip stands in an environment of its own and installs into /opt/perfprofile, which so has none.
FROM python AS pip
RUN --mount=type=secret,id=apt,target=/etc/apt/apt.conf.d/99machine \
    apt-get update --quiet && \
    apt-get install --quiet --yes --no-install-recommends python3-venv && \
    python3 -m venv /opt/pip && \
    python3 -m venv --without-pip /opt/perfprofile
ENV PATH=/opt/pip/bin:/usr/bin:/bin

FROM pip AS agent-dependencies
COPY requirements/agent.txt /tmp/requirements.txt
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/etc/ssl/machine.crt \
    pip --python /opt/perfprofile install --no-cache-dir --only-binary :all: --require-hashes -r /tmp/requirements.txt

# The Kubernetes client's asyncio half (68 MB) is imported by nothing here.
FROM pip AS operator-dependencies
COPY requirements/operator.txt /tmp/requirements.txt
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/etc/ssl/machine.crt \
    pip --python /opt/perfprofile install --no-cache-dir --no-compile --only-binary :all: --require-hashes -r /tmp/requirements.txt && \
    rm -rf /opt/perfprofile/lib/python3*/site-packages/kubernetes/aio && \
    python3 -m compileall -q -j 0 /opt/perfprofile/lib

# The project alone, without what it depends on: both images take it as one layer.
FROM pip AS project
COPY requirements/build.txt /tmp/requirements.txt
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/etc/ssl/machine.crt \
    pip install --no-cache-dir --only-binary :all: --require-hashes -r /tmp/requirements.txt
COPY . /src
RUN cd /src && hatchling build --target wheel --directory /wheel && \
    pip --python /opt/perfprofile install --no-cache-dir --no-index --no-deps /wheel/*.whl

FROM python AS operator
USER 65532:65532
CMD ["perfprofile-operator"]
COPY --from=operator-dependencies /opt/perfprofile /opt/perfprofile
COPY --from=project /opt/perfprofile /opt/perfprofile

# The agent starts as root, takes what perf needs, and goes on as 65532 by itself.
FROM python AS agent
ENTRYPOINT ["perfprofile-agent"]
RUN --mount=type=secret,id=apt,target=/etc/apt/apt.conf.d/99machine \
    apt-get update --quiet && \
    apt-get install --quiet --yes --no-install-recommends linux-perf && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* /usr/lib/perf-core/tests
COPY --from=agent-dependencies /opt/perfprofile /opt/perfprofile
COPY --from=project /opt/perfprofile /opt/perfprofile
