"""A job: accept the work at once, and let the caller ask later how far it is.

Start it with `python -m course run s3.3`. Then try it in a second terminal:

    curl -si http://127.0.0.1:8000/jobs -X POST
    curl -s http://127.0.0.1:8000/jobs/job_1
    curl -si http://127.0.0.1:8000/jobs/job_99

The first answer is 202 and comes at once; `Location` says where the job is. Ask there
more than once: it is running, and after five seconds it has succeeded and has an
answer. A job that does not exist is a 404.
"""

import asyncio

from fastapi import BackgroundTasks, FastAPI, HTTPException, Response
from pydantic import BaseModel

app = FastAPI(title="Jobs")


class Job(BaseModel):
    """A job as the caller sees it."""

    id: str
    status: str = "queued"
    answer: str | None = None


jobs: dict[str, Job] = {}


async def run_job(job: Job) -> None:
    """Do the work, and record how it ended."""
    job.status = "running"
    await asyncio.sleep(5)
    job.answer = "This took five seconds."
    job.status = "succeeded"


@app.post("/jobs", status_code=202)
async def create_job(tasks: BackgroundTasks, response: Response) -> Job:
    """Accept the work; FastAPI runs it after this answer."""
    job = Job(id=f"job_{len(jobs) + 1}")
    jobs[job.id] = job
    tasks.add_task(run_job, job)
    response.headers["Location"] = f"/jobs/{job.id}"
    return job


@app.get("/jobs/{job_id}")
async def read_job(job_id: str) -> Job:
    """Say how far the job is, and give its answer once there is one."""
    if job_id not in jobs:
        raise HTTPException(404, "No such job.")
    return jobs[job_id]
