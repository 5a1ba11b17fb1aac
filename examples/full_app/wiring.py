"""Builds the services of one process, for the API (`main.py`) and the worker alike."""

import contextlib
import logging
from collections.abc import AsyncIterator

from redis.asyncio import Redis
from redis.exceptions import RedisError

from examples.full_app.chat.service import ChatService
from examples.full_app.egress.client import EgressPolicy, guarded_client
from examples.full_app.events.log import EventLog
from examples.full_app.identity import key_subject
from examples.full_app.jobs.events import JobEvents
from examples.full_app.jobs.records import JobStore
from examples.full_app.jobs.runner import JobRunner
from examples.full_app.jobs.service import JobService
from examples.full_app.jobs.sweep import Sweeper
from examples.full_app.lifecycle import Draining
from examples.full_app.limits.ledger import Ledger, Limits
from examples.full_app.limits.packing import pack_with_hiredis
from examples.full_app.limits.rates import CallerRates, Limiter, RateLimit
from examples.full_app.limits.slots import Slots
from examples.full_app.limits.waiting import WaitingQueue
from examples.full_app.money import DEFAULT_PRICES, Prices, nano_usd
from examples.full_app.observability.metrics import Metrics
from examples.full_app.providers.base import Provider
from examples.full_app.providers.faults.catalogue import PREFIX as FAULT_PREFIX
from examples.full_app.providers.faults.provider import FaultProvider
from examples.full_app.providers.offline.provider import OfflineProvider
from examples.full_app.providers.upstream.client import (
    OpenAICompatibleProvider,
    open_session,
)
from examples.full_app.providers.upstream.fallback import ResilientProvider
from examples.full_app.providers.upstream.upstreams import Upstream
from examples.full_app.queue import Queue, open_queue, work
from examples.full_app.responses.background import BackgroundResponses, ResponseRunner
from examples.full_app.responses.log import ResponseLog
from examples.full_app.responses.service import ResponseService
from examples.full_app.responses.store import ResponseStore
from examples.full_app.resumable.generations import open_generations
from examples.full_app.schemas.upstream import UpstreamRules
from examples.full_app.settings import Grant, Settings
from examples.full_app.tokens import EstimateTokenizer
from examples.full_app.web.dependencies import AppState, Responses
from examples.full_app.webhooks.endpoints import DAY
from examples.full_app.webhooks.schedule import SCHEDULE
from examples.full_app.webhooks.sender import WebhookSender
from examples.full_app.webhooks.service import WebhookService
from examples.full_app.webhooks.store import WebhookStore
from examples.s4_dependency_injection import open_redis

log = logging.getLogger(__name__)

MAXMEMORY_POLICY = "noeviction"


@contextlib.asynccontextmanager
async def open_services(
    settings: Settings, metrics: Metrics, provider: Provider | None = None
) -> AsyncIterator[AppState]:
    """Everything one process needs, closed in the opposite order afterwards.

    `provider` answers in place of the one that the settings name.
    """
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(open_redis(settings))
        pack_with_hiredis(redis.connection_pool)
        if not settings.embedded:
            await warn_of_eviction(redis)
        queue = await stack.enter_async_context(
            open_queue(
                settings.redis_url,
                redis,
                deliveries_per_caller=settings.deliveries_per_caller,
            )
        )
        draining = Draining(
            settings.drain_seconds, notice=settings.drain_notice_seconds
        )
        limits = await _limits(settings, metrics, redis, stack)
        chat = await _chat_service(settings, metrics, provider, draining, stack)
        generations = await stack.enter_async_context(
            open_generations(settings, redis, draining)
        )
        webhooks, sender = await _webhooks(settings, redis, queue, stack)
        store = JobStore(
            redis,
            keep=settings.job_keep_seconds,
            max_bytes=settings.job_results_bytes,
        )
        jobs = JobService(store, queue, webhooks.store)
        responses = _responses(
            settings, redis, chat, generations.log, queue, webhooks.store, draining
        )
        response_runner = ResponseRunner(
            responses.background,
            generations.log,
            limits,
            draining,
            timeout=settings.request_timeout_seconds,
            lease=settings.job_lease_seconds,
            attempts=settings.job_attempts,
            pass_on=settings.upstream_responses == "pass",
        )
        runner = JobRunner(
            store,
            chat,
            limits,
            timeout=settings.request_timeout_seconds,
            ended=jobs.ended,
            draining=draining,
            lease=settings.job_lease_seconds,
            attempts=settings.job_attempts,
        )
        sweeper = Sweeper(
            store, queue, ended=jobs.ended, lease=settings.job_lease_seconds
        )

        async def sweep() -> None:
            await sweeper.sweep()
            await responses.background.sweep(settings.job_lease_seconds)

        queue.handle_jobs(runner.run, per_caller=settings.jobs_per_caller)
        queue.handle_responses(response_runner.run, per_caller=settings.jobs_per_caller)
        queue.handle_deliveries(
            sender.attempt_delivery,
            sweep,
            sweep_seconds=settings.job_lease_seconds / 2,
        )
        yield AppState(
            settings=settings,
            redis=redis,
            limits=limits,
            chat_service=chat,
            generations=generations,
            jobs=jobs,
            job_events=JobEvents(generations.log, draining),
            responses=responses,
            webhooks=webhooks,
            queue=queue,
            metrics=metrics,
            draining=draining,
        )


def work_jobs(services: AppState) -> contextlib.AbstractAsyncContextManager[None]:
    """A block beside which this process works jobs off."""
    settings = services["settings"]
    return work(
        services["queue"],
        drain_seconds=settings.drain_seconds,
        lease=settings.job_lease_seconds,
    )


async def _limits(
    settings: Settings,
    metrics: Metrics,
    redis: Redis,
    stack: contextlib.AsyncExitStack,
) -> Limits:
    # Inside the process Redis cannot be away, only busy.
    timeout = None if settings.embedded else settings.redis_timeout_seconds
    grants = {key_subject(name): grant for name, grant in settings.key_grants.items()}
    slots = Slots(
        redis,
        each=settings.concurrent_calls_per_key,
        overall=settings.concurrent_calls,
        lease_seconds=settings.slot_lease_seconds,
    )
    await stack.enter_async_context(slots.renewed())
    limiter = Limiter(
        redis,
        RateLimit("requests", settings.requests_per_minute),
        RateLimit("tokens", settings.tokens_per_minute),
        timeout,
        slots,
        own={name: _rates(settings, grant) for name, grant in grants.items()},
    )
    budgets = {
        name: nano_usd(grant.budget_usd)
        for name, grant in grants.items()
        if grant.budget_usd is not None
    }
    periods = {
        name: grant.budget_period
        for name, grant in grants.items()
        if grant.budget_period is not None
    }
    ledger = Ledger(limiter, budgets, periods)
    await stack.enter_async_context(ledger.sending_unsent())
    waiting = WaitingQueue(settings.queue_places, settings.queue_seconds)
    metrics.waiting.set_function(lambda: waiting.taken)
    return Limits(
        ledger,
        waiting,
        prices=Prices(settings.prices),
        grants=grants,
        free_providers=frozenset({OfflineProvider.name, FaultProvider.name}),
        unpriced_models_are_free=settings.unpriced_models == "free",
    )


def _rates(settings: Settings, grant: Grant) -> CallerRates:
    """The limits of one key: its own, and for the rest the general ones."""
    requests = grant.requests_per_minute or settings.requests_per_minute
    tokens = grant.tokens_per_minute or settings.tokens_per_minute
    return CallerRates(
        RateLimit("requests", requests),
        RateLimit("tokens", tokens),
        grant.concurrent_calls_per_key,
    )


async def _chat_service(
    settings: Settings,
    metrics: Metrics,
    provider: Provider | None,
    draining: Draining,
    stack: contextlib.AsyncExitStack,
) -> ChatService:
    tokenizer = EstimateTokenizer()
    offline = OfflineProvider(pace=settings.offline_pace, tokenizer=tokenizer)
    faults = FaultProvider(offline)
    primary = provider or offline
    local: dict[str, Provider] = {"offline-": offline, FAULT_PREFIX: faults}
    rules = None
    if provider is None and settings.upstream_base_url is not None:
        upstreams = await _upstreams(settings, stack)
        primary = ResilientProvider(upstreams, abandoned=metrics.count_abandoned)
        rules = UpstreamRules(
            unknown_fields=settings.unknown_fields,
            context_window=settings.context_window,
            max_text_chars=settings.max_text_chars,
            local_prefixes=tuple(local),
        )

    metrics.know(DEFAULT_PRICES)
    metrics.know(name for name in settings.prices if "*" not in name)
    for each in (offline, faults):
        metrics.know([model.id for model in await each.models()])
    return ChatService(
        primary,
        local,
        tokenizer=tokenizer,
        metrics=metrics,
        draining=draining,
        max_logprobs=settings.max_logprobs,
        max_answer_bytes=settings.max_answer_bytes,
        upstream_rules=rules,
    )


def _responses(
    settings: Settings,
    redis: Redis,
    chat: ChatService,
    event_log: EventLog,
    queue: Queue,
    webhooks: WebhookStore,
    draining: Draining,
) -> Responses:
    store = ResponseStore(
        redis,
        keep=settings.response_keep_seconds,
        events_keep=settings.resume_seconds,
        max_bytes=settings.response_bytes_per_caller,
    )
    events = ResponseLog(event_log, draining)
    drop_tools = settings.unsupported_tools == "drop"
    return Responses(
        foreground=ResponseService(
            store,
            chat,
            drop_tools=drop_tools,
            pass_on=settings.upstream_responses == "pass",
        ),
        background=BackgroundResponses(store, events, chat, queue, webhooks),
        store=store,
        log=events,
        heartbeat_seconds=settings.heartbeat_seconds,
    )


async def _webhooks(
    settings: Settings,
    redis: Redis,
    queue: Queue,
    stack: contextlib.AsyncExitStack,
) -> tuple[WebhookService, WebhookSender]:
    policy = EgressPolicy(allow_loopback=settings.loopback_webhooks)
    client = await stack.enter_async_context(guarded_client(policy))
    store = WebhookStore(redis, policy=policy)
    sender = WebhookSender(
        store,
        client,
        schedule=settings.webhook_schedule or SCHEDULE,
        disable_after=settings.webhook_disable_after_days * DAY,
    )
    return WebhookService(store, sender, queue), sender


async def _upstreams(
    settings: Settings, stack: contextlib.AsyncExitStack
) -> list[Upstream]:
    """The configured upstreams in the order in which they are asked."""
    session = await stack.enter_async_context(open_session())
    upstreams = []
    for name, url, key, model in (
        ("upstream", settings.upstream_base_url, settings.upstream_api_key, None),
        (
            "fallback",
            settings.fallback_base_url,
            settings.fallback_api_key,
            settings.fallback_model,
        ),
    ):
        if url is not None:
            secret = key.get_secret_value() if key else None
            provider = OpenAICompatibleProvider(session, url, secret)
            upstreams.append(Upstream(name, provider, model))
    return upstreams


async def warn_of_eviction(redis: Redis) -> None:
    """Log a warning where this Redis may evict keys, or does not say.

    Budgets, jobs and limits live in it. A Redis that evicts keys when it is full
    forgets money that was spent and jobs that were promised.
    """
    try:
        memory = await redis.info("memory")
    except RedisError as error:
        log.warning("maxmemory-policy unknown", extra={"reason": repr(error)})
        return
    policy = memory.get("maxmemory_policy")
    if policy != MAXMEMORY_POLICY:
        log.warning(
            "Redis may evict keys: set maxmemory-policy to noeviction",
            extra={"reason": f"maxmemory-policy is {policy}"},
        )
