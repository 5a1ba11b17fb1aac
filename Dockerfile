# full_app, API and worker in one image: `compose.yaml` says which command runs where.
FROM python:3.13-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /srv

COPY requirements/app.txt requirements/app.txt
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements/app.txt

COPY examples examples
RUN python -m compileall -q examples && useradd --system --uid 10001 --no-create-home app
# A number: Kubernetes' `runAsNonRoot` does not know names.
USER 10001

EXPOSE 8000
CMD ["python", "-m", "uvicorn", "--no-proxy-headers", "--timeout-graceful-shutdown", "1", "--http", "examples.full_app.web.connection.protocol:FastProtocol", "--host", "0.0.0.0", "--port", "8000", "examples.full_app.main:app"]
