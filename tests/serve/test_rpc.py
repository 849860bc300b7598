"""gRPC before a stub: what waits for a client that has gone is not run, and a refusal says when to try again."""

import pytest
from image_of import jpeg
from stub import Held, stub_models, until

from tfl.serve.limits import Limits
from tfl.serve.metrics import Metrics
from tfl.serve.pace import work_of

grpc = pytest.importorskip("grpc")
pytest.importorskip("tensorflow_serving")


@pytest.fixture
def held():
    """The call Predict, the model and its queue; the first request runs."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    from tfl.serve.rpc import start_rpc

    limits, model = Limits(parallel_batches=1, max_expected_wait_s=25), Held()
    models = stub_models(limits=limits, run=model)
    server, port = start_rpc(models, address="127.0.0.1:0", limits=limits, metrics=Metrics(models))
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "leaves"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([jpeg()]))
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        first = call.future(request, timeout=60)
        until(lambda: model.sizes)
        yield lambda timeout: call.future(request, timeout=timeout), model, models.latest
        model.go.set()
        assert first.result().model_spec.name == "leaves"
    server.stop(None).wait()
    models.close()


def test_what_was_cancelled_is_not_run(held):
    call, model, version = held
    gone = call(60)
    until(lambda: version.waiting == 1)
    gone.cancel()
    until(lambda: version.waiting == 0)
    model.go.set()
    call(60).result()
    assert model.sizes == [1, 1]


def test_what_would_miss_its_deadline_is_refused_at_once(held):
    call, _, version = held
    version.batcher._pace.batch_ended(work_of(1, 0), began=0.0, ended=10.0)
    waiting = call(60)
    until(lambda: version.waiting == 1)
    refused = call(15)
    assert refused.code() is grpc.StatusCode.UNAVAILABLE and "deadline is in" in refused.details()
    assert int(dict(refused.trailing_metadata())["grpc-retry-pushback-ms"]) >= 1000
    assert not waiting.done()


def test_what_waits_past_its_deadline_is_not_run(held):
    call, model, version = held
    late = call(0.5)
    assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    until(lambda: version.waiting == 0)
    model.go.set()
    call(60).result()
    assert model.sizes == [1, 1]
