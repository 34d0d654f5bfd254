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

# pip stands in an environment of its own, which the images borrow and don't keep.
FROM python AS pip
RUN --mount=type=secret,id=apt,target=/etc/apt/apt.conf.d/99machine \
    apt-get update --quiet && \
    apt-get install --quiet --yes --no-install-recommends python3-venv && \
    python3 -m venv /opt/pip
COPY requirements/build.txt /opt/pip/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/etc/ssl/machine.crt \
    /opt/pip/bin/python -m pip install --no-cache-dir --only-binary :all: --require-hashes -r /opt/pip/build.txt

# The project alone, without what it depends on: both images take it as their last layer.
FROM pip AS project
COPY . /src
RUN cd /src && /opt/pip/bin/python -m hatchling build --target wheel --directory /wheel && \
    python3 -m venv --without-pip /opt/perfprofile && \
    /opt/pip/bin/python -m pip --python /opt/perfprofile install --no-cache-dir --no-index --no-deps /wheel/*.whl

# The Kubernetes client's asyncio half (68 MB) is imported by nothing here.
FROM python AS operator
CMD ["perfprofile-operator"]
COPY requirements/operator.txt /opt/perfprofile/
RUN --mount=type=bind,from=pip,source=/opt/pip,target=/tmp/pip \
    --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/etc/ssl/machine.crt \
    python3 -m venv --without-pip /opt/perfprofile && \
    /tmp/pip/bin/python -m pip --python /opt/perfprofile install \
        --no-cache-dir --no-compile --only-binary :all: --require-hashes -r /opt/perfprofile/operator.txt && \
    rm -rf /opt/perfprofile/lib/python3*/site-packages/kubernetes/aio && \
    python3 -m compileall -q -j 0 /opt/perfprofile/lib
USER 65532:65532
COPY --from=project /opt/perfprofile /opt/perfprofile

# The agent starts as root, takes what perf needs, and goes on as 65532 by itself.
FROM python AS agent
ENTRYPOINT ["perfprofile-agent"]
RUN --mount=type=secret,id=apt,target=/etc/apt/apt.conf.d/99machine \
    apt-get update --quiet && \
    apt-get install --quiet --yes --no-install-recommends linux-perf && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* /usr/lib/perf-core/tests
COPY requirements/agent.txt /opt/perfprofile/
RUN --mount=type=bind,from=pip,source=/opt/pip,target=/tmp/pip \
    --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/etc/ssl/machine.crt \
    python3 -m venv --without-pip /opt/perfprofile && \
    /tmp/pip/bin/python -m pip --python /opt/perfprofile install \
        --no-cache-dir --only-binary :all: --require-hashes -r /opt/perfprofile/agent.txt
COPY --from=project /opt/perfprofile /opt/perfprofile
