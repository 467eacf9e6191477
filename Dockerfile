FROM python:3.13.14-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /app
WORKDIR /source
COPY requirements.lock ./
RUN pip --python /app/bin/python install --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY sql_synthesizer sql_synthesizer
COPY monitoring monitoring
COPY runbooks runbooks
RUN pip --python /app/bin/python install --no-deps --no-build-isolation . \
    && pip --python /app/bin/python uninstall --yes hatchling editables

FROM python:3.13.14-slim-trixie
# Fresh volumes take over the owner of the directory they are mounted on.
RUN install --directory --owner 10001 --group 10001 --mode 700 /var/lib/sql-synthesizer \
    && install --directory --owner 10001 --group 10001 --mode 755 /secrets
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SQL_SYNTHESIZER_HOST=0.0.0.0 \
    SQL_SYNTHESIZER_METRICS_HOST=0.0.0.0 \
    SQL_SYNTHESIZER_STATE_DIR=/var/lib/sql-synthesizer
USER 10001:10001
WORKDIR /var/lib/sql-synthesizer
VOLUME /var/lib/sql-synthesizer
EXPOSE 5000 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=6 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:5000/health/live', timeout=4)"]
ENTRYPOINT ["sql-synthesizer"]
CMD ["serve"]
