"""Sets a server up for the property-based run: tokens, goods, orders in every state.

Prints shell assignments: a token for each role, and the names of things that exist, which `hooks.py` puts in place of some
of the made-up ones, so that not every answer is 404.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import shlex
import sys
import time
import urllib.error
import urllib.request

SCOPES = ["support", "warehouse", "operations", "finance", "auditor", "security"]
MEMBER = "7"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(secret: bytes, sub: str, role: str, scopes: list[str]) -> str:
    claims = {"sub": sub, "role": role, "scopes": scopes, "exp": int(time.time()) + 86_400}
    header = {"alg": "HS256", "typ": "JWT", "kid": "a"}
    signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{encoded(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


class Shop:
    """A server, as each role calls it."""

    def __init__(self, url: str, secret: bytes, callback_secret: bytes):
        self.url, self.callback_secret = url, callback_secret
        self.tokens = {
            "member": token(secret, MEMBER, "member", []),
            "service": token(secret, "app-1", "service", ["relay:*"]),
            "admin": token(secret, "anna", "admin", SCOPES),
        }

    def call(self, role: str, method: str, path: str, body: object = None, headers: dict | None = None) -> dict:
        headers = dict(headers or {})
        if role:
            headers["Authorization"] = f"Bearer {self.tokens[role]}"
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            sys.exit(f"{method} {path}: {error.code} {error.read().decode()}")

    def submit(self, name: str, **more: object) -> str:
        receiver = {"name": "张三", "phone": "13812345678", "province": "广东省", "city": "深圳市", "address": "科技园路 1 号"}
        order = {"request_id": name, "lines": [{"sku_id": "42", "quantity": 1}], "receiver": receiver, **more}
        return self.call("member", "POST", "/api/order/submit", order)["order_no"]

    def pay(self, order_no: str) -> None:
        order = self.call("admin", "GET", f"/admin/order/{order_no}")
        notice = {"order_no": order_no, "channel": "wechat", "merchant": "1900000001",
                  "transaction_id": f"t-{order_no}", "amount": order["amounts"]["pay_amount"]}
        body, at = json.dumps(notice).encode(), str(int(time.time()))
        mac = hmac.new(self.callback_secret, f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {"X-Stockade-Timestamp": at, "X-Stockade-Signature": f"v1={mac}"}
        self.call("", "POST", "/callback/payment/shop", body, headers)


def goods(shop: Shop) -> None:
    put = lambda path, body: shop.call("admin", "PUT", path, body)
    put("/admin/freight/1", {"name": "standard", "charge": {"flat": {"fee": 800}}, "free_from": 9900})
    for sku in ("42", "43"):
        put(f"/admin/skus/{sku}", {"product_id": "7", "code": f"TEA-{sku}", "title": "Green tea", "price": 19900, "on_sale": True})
    put("/admin/skus/42/shipping", {"weight_grams": 120, "freight_id": "1"})
    now_ms = int(time.time() * 1000)
    window = {"start": now_ms + 1_500, "end": now_ms + 86_400_000}
    item = {"sku_id": "42", "price": 9900, "limit_per_member": 0}
    put("/admin/activities/9", {"kind": "seckill", "title": "Noon session", "items": [item], **window})
    team = {"size": 2, "time_limit_ms": 3_600_000}
    put("/admin/activities/10", {"kind": "group_buy", "title": "Two buy", "items": [item], "team": team, **window})
    put("/admin/coupon-terms/5", {"title": "10.00 off", "benefit": {"amount_off": 1000}, "valid_from": now_ms,
                                  "valid_until": now_ms + 86_400_000, "issue_max": 1_000_000})
    for name, activity in (("everyday", None), ("session", "9"), ("campaign", "10")):
        body = {"request_id": f"stock-{name}", "sku_id": "42", "change": {"add": 100_000}, "reason": "a delivery"}
        if activity:
            body["activity_id"] = activity
        shop.call("admin", "POST", "/admin/stock/adjust", body)
    # Windows go by the server's clock, which may be a little behind.
    time.sleep(2)


def orders(shop: Shop) -> dict[str, list[str]]:
    known: dict[str, list[str]] = {"order_no": [], "refund_no": [], "coupon": [], "id": ["9", "10", "5"], "topic": ["mails"]}
    for at in range(4):
        issue = {"request_id": f"issue-{at}", "member_id": MEMBER, "terms_id": "5", "reason": "a present"}
        known["coupon"].append(shop.call("admin", "POST", "/admin/coupons/issue", issue)["coupon_id"])
    for at in range(24):
        order_no = shop.submit(f"order-{at}", external_no=f"T-{at}")
        known["order_no"].append(order_no)
        if at % 3 == 0:
            continue
        shop.pay(order_no)
        if at % 3 == 2:
            parcel = {"carrier": "sf", "tracking_no": f"SF{at}"}
            shop.call("admin", "POST", f"/admin/order/{order_no}/ship", parcel)
        if at % 2 == 0:
            apply = {"request_id": f"refund-{at}", "reason": "too bitter", "lines": [{"sku_id": "42", "quantity": 1}]}
            refund = shop.call("member", "POST", f"/api/order/{order_no}/refund", apply)
            known["refund_no"].append(refund["refund_no"])
    known["order_no"].append(shop.submit("session", order_type="seckill", activity_id="9"))
    team = shop.submit("team", order_type="group_buy", activity_id="10", team="open")
    known["order_no"].append(team)
    seat = shop.call("member", "GET", f"/api/order/{team}").get("team")
    if seat:
        known["team"] = [seat["team_id"]]
    for at in range(8):
        shop.call("service", "POST", "/gateway/delay/mails/push", {"id": f"mail-{at}", "body": "hello", "delay_ms": 0})
    # One to be asked about, and one to be polled, which nobody deletes.
    for name in ("erp", "polled"):
        spec = {"events": ["OrderCreated"], "start": "first", "sink": {"kind": "pull"}}
        shop.call("admin", "PUT", f"/admin/relay/subscriptions/{name}", {"spec": spec})
    return known


def main() -> None:
    url, secret, callback_secret = sys.argv[1:]
    shop = Shop(url, pathlib.Path(secret).read_bytes(), pathlib.Path(callback_secret).read_bytes())
    goods(shop)
    known = orders(shop)
    for role, value in shop.tokens.items():
        print(f"token_{role}={value}")
    print(f"STOCKADE_KNOWN={shlex.quote(json.dumps(known))}")


main()
