"""The functional tests of Lithops, on wrenlite."""

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.suites.suite import check_suite

pytestmark = [pytest.mark.suites, pytest.mark.timeout(1600)]

_FILES = ("test_call_async.py", "test_map.py", "test_map_reduce.py", "test_storage.py", "test_retries.py")
_MOCK = ("private attribute", "drives the insides of Lithops' own class with a MagicMock")
_LEFT_OUT = {
    "TestMapReduce::test_url_processing": ("network", "reads files of a web server that is not here"),
    **dict.fromkeys(
        (
            "TestRetryingFutureUnit::test_should_retry_until_budget_exhausted",
            "TestRetryingFutureUnit::test_cancel_prevents_retry",
            "TestRetryingFutureUnit::test_retries_default_to_zero",
            "TestRetryingFutureUnit::test_status_and_result_reraise_on_error",
            "TestRetryingFutureUnit::test_status_and_result_passthrough_on_success",
            "TestRetryingFutureUnit::test_retry_resubmits_original_input_and_kwargs",
            "TestRetryingFunctionExecutorUnit::test_map_uses_config_retries_and_forwards_kwargs",
            "TestRetryingFunctionExecutorUnit::test_explicit_retries_override_config",
            "TestRetryingFunctionExecutorUnit::test_wait_retries_failed_futures_until_all_complete",
            "TestRetryingFunctionExecutorUnit::test_wait_always_returns_after_first_poll",
            "TestRetryingFunctionExecutorUnit::test_wait_any_completed_stops_when_one_succeeds",
            "TestRetryingFunctionExecutorUnit::test_wait_exhausted_retries_are_treated_as_done",
            "TestRetryingFunctionExecutorUnit::test_context_manager_and_clean_delegate",
            "TestRetryingFunctionExecutorUnit::test_retries_to_use_prefers_explicit_then_config",
        ),
        _MOCK,
    ),
}


def test_lithops_own_tests(tmp_path):
    tests = Path(find_spec("lithops").origin).with_name("tests")
    arguments = ["-p", "lithops", "-p", "word_files", "--rootdir", tests, *(tests / name for name in _FILES)]
    check_suite(f"Lithops {version('lithops')}", arguments, _LEFT_OUT, tmp_path)
