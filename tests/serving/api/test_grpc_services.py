"""The standard gRPC health checks follow readiness, and reflection lists the services."""

from __future__ import annotations

import pytest
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from serving.api.grpc_services import INFERENCE, add_services
from serving.api.servicer import Servicer
from tests.support.wire import Wire

RESPONSE = health_pb2.HealthCheckResponse


async def test_health_follows_readiness_and_reflection_lists_the_services(wire: Wire) -> None:
    server = aio.server()
    add_services(server, Servicer(wire.predictor, wire.limiter, wire.settings))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", INFERENCE):
            assert (await health.Check(health_pb2.HealthCheckRequest(service=service))).status == RESPONSE.SERVING
        with pytest.raises(aio.AioRpcError) as caught:
            await health.Check(health_pb2.HealthCheckRequest(service="other"))
        assert caught.value.code() == StatusCode.NOT_FOUND
        seen = []
        async for reply in health.Watch(health_pb2.HealthCheckRequest()):
            seen.append(reply.status)
            wire.predictor.begin_drain()
        assert seen == [RESPONSE.SERVING, RESPONSE.NOT_SERVING]
        listing = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        )
        names = [service.name async for reply in listing for service in reply.list_services_response.service]
        assert {INFERENCE, "grpc.health.v1.Health"} <= set(names)
    await server.stop(0)
