"""Signatures are those of Standard Webhooks."""

from docs.examples.webhook_receiver import is_ours
from services.notification.domain.signature import secret_of, signed_headers


def test_the_published_example_is_reproduced() -> None:
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_during_a_rotation_both_secrets_sign() -> None:
    new, old = secret_of(b"n" * 32), secret_of(b"o" * 32)
    both = signed_headers("m", 1, b"{}", [new, old])["webhook-signature"].split(" ")
    assert both == [signed_headers("m", 1, b"{}", [s])["webhook-signature"] for s in (new, old)]


def test_the_receiver_of_the_docs_takes_what_we_sign_and_nothing_else() -> None:
    new, old = secret_of(b"n" * 32), secret_of(b"o" * 32)
    headers = signed_headers("m-1", 1_000, b"{}", [new, old])
    assert is_ours(new, headers, b"{}", 1_000)
    assert is_ours(old, headers, b"{}", 1_299)
    assert not is_ours(old, headers, b"{}", 1_301), "somebody may have kept it"
    assert not is_ours(old, headers, b"{} ", 1_000)
    assert not is_ours(secret_of(b"x" * 32), headers, b"{}", 1_000)
    assert not is_ours(new, {**headers, "webhook-id": "m-2"}, b"{}", 1_000)
    assert not is_ours(new, {**headers, "webhook-timestamp": "-1"}, b"{}", 0)
