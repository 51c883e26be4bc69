"""Signatures are those of Standard Webhooks."""

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
