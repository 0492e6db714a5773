#!/bin/sh
# The life of an order with curl and openssl: from the catalogue to the refund. See README.md beside this directory.
#
# openssl takes secrets as arguments, which other users of this machine can read while it runs: on a machine of many,
# sign in a program, as the examples in PHP and Go do.
set -eu

: "${STOCKADE_URL:?the address of the server, as http://127.0.0.1:8080}"
: "${STOCKADE_SECRET:?the secret that tokens are signed with}"
: "${STOCKADE_PAY_SECRET:?the secret of the payment provider}"

SKU=1001
MEMBER=1001
# Names of requests are good once: each run has its own.
RUN=$(date +%s)-$$

step() { printf '\n# %s\n' "$*"; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# --- Tokens: JSON Web Tokens, HS256 ---------------------------------------------------------------------------------

base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

# token CLAIMS: a token that says this, for an hour.
token() {
  head=$(printf '{"alg":"HS256","typ":"JWT"}' | base64url)
  claims=$(printf '{%s,"exp":%s}' "$1" "$(($(date +%s) + 3600))" | base64url)
  signature=$(printf '%s.%s' "$head" "$claims" | openssl dgst -sha256 -hmac "$STOCKADE_SECRET" -binary | base64url)
  printf '%s.%s.%s' "$head" "$claims" "$signature"
}

# --- Requests -------------------------------------------------------------------------------------------------------

# send STATUS METHOD PATH BODY [OPTION…]: prints the answer; it is an error where the status is another.
send() {
  expected=$1 method=$2 path=$3 body=$4
  shift 4
  if [ -n "$body" ]; then
    set -- "$@" -H 'content-type: application/json' --data-binary "$body"
  fi
  answer=$(curl -sS --max-time 60 -X "$method" "$STOCKADE_URL$path" -w '\n%{http_code}' "$@")
  status=$(printf '%s' "$answer" | tail -n 1)
  answer=$(printf '%s' "$answer" | sed '$d')
  [ "$status" = "$expected" ] || fail "$method $path is answered $status, not $expected: $answer"
  printf '%s\n' "$answer"
}

# as TOKEN STATUS METHOD PATH BODY [OPTION…]: the same, as somebody.
as() {
  who=$1
  shift
  send "$@" -H "authorization: Bearer $who"
}

# notify STATUS BODY: says it as the payment provider. The signature is of the very bytes that are sent.
notify() {
  now=$(date +%s)
  signature=$(printf '%s.%s' "$now" "$2" | openssl dgst -sha256 -hmac "$STOCKADE_PAY_SECRET" -r | cut -d' ' -f1)
  send "$1" POST /callback/payment "$2" -H "x-stockade-timestamp: $now" -H "x-stockade-signature: v1=$signature"
}

# field NAME ANSWER: what the field of this name has, a text or a number. A program parses JSON in earnest.
field() { printf '%s' "$2" | sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }

# is NAME VALUE ANSWER: an error where the field has another value.
is() {
  found=$(field "$1" "$3")
  [ "$found" = "$2" ] || fail "$1 is $found, not $2: $3"
}

# --- The life of an order -------------------------------------------------------------------------------------------

step "tokens: a member's, and one of the back office"
MEMBER_TOKEN=$(token "\"sub\":\"$MEMBER\",\"role\":\"member\"")
ADMIN_TOKEN=$(token '"sub":"anna","role":"admin","scopes":["operations","warehouse","support","finance"]')

step "goods: a SKU at 199.00, and ten units more of it"
as "$ADMIN_TOKEN" 200 PUT /admin/skus/$SKU \
  '{"product_id": "7", "code": "TEA-50", "title": "Green tea, 50 g", "price": 19900, "on_sale": true}'
as "$ADMIN_TOKEN" 200 POST /admin/stock/adjust \
  "{\"request_id\": \"delivery-$RUN\", \"sku_id\": \"$SKU\", \"change\": {\"add\": 10}, \"reason\": \"delivery\"}"

step "preview: what it would cost"
LINES="[{\"sku_id\": \"$SKU\", \"quantity\": 1}]"
preview=$(as "$MEMBER_TOKEN" 200 POST /api/order/preview "{\"lines\": $LINES}")
echo "$preview"
AMOUNT=$(field expected_pay_amount "$preview")

step "submit, without waiting: a number is promised, and the order not accepted yet"
ORDER_BODY="{\"lines\": $LINES, \"expected_pay_amount\": $AMOUNT, \"receiver\": {\"name\": \"Zhang San\",
  \"phone\": \"13812345678\", \"province\": \"Guangdong\", \"city\": \"Shenzhen\", \"address\": \"Science Park Road 1\"}}"
promise=$(as "$MEMBER_TOKEN" 202 POST /api/order/submit "$ORDER_BODY" \
  -H "idempotency-key: order-$RUN" -H 'prefer: respond-async')
echo "$promise"
ORDER=$(field order_no "$promise")

step "poll: what has become of it"
tries=0
while
  result=$(as "$MEMBER_TOKEN" 200 GET "/api/order/result?order_no=$ORDER&wait_ms=5000" '')
  [ "$(printf '%s' "$result" | sed 's/^{"status":"\([a-z]*\)".*/\1/')" = processing ]
do
  tries=$((tries + 1))
  [ $tries -lt 12 ] || fail "the order is still under way"
done
echo "$result"
case $result in '{"status":"created"'*) ;; *) fail "the order has failed: $result" ;; esac

step "the same request again, as after a lost answer: the same order"
again=$(as "$MEMBER_TOKEN" 201 POST /api/order/submit "$ORDER_BODY" -H "idempotency-key: order-$RUN")
echo "$again"
is order_no "$ORDER" "$again"

step "pay: a number for the provider, who tells that it is paid; told twice, it counts once"
begun=$(as "$MEMBER_TOKEN" 200 POST "/api/order/$ORDER/pay" '{"channel": "demo"}')
echo "$begun"
PAID="{\"pay_no\": \"$(field pay_no "$begun")\", \"channel\": \"demo\", \"merchant\": \"shop\",
  \"transaction_id\": \"$ORDER\", \"amount\": $AMOUNT}"
for _ in 1 2; do
  told=$(notify 200 "$PAID")
  echo "$told"
  is result paid "$told"
done

step "ship"
shipped=$(as "$ADMIN_TOKEN" 200 POST "/admin/order/$ORDER/ship" '{"carrier": "SF", "tracking_no": "SF1"}')
echo "$shipped"
is status shipped "$shipped"

step "confirm: the member has it"
confirmed=$(as "$MEMBER_TOKEN" 200 POST "/api/order/$ORDER/confirm" '')
echo "$confirmed"
is status completed "$confirmed"

step "refund: the member applies, the shop agrees, the provider is asked and has paid back"
applied=$(as "$MEMBER_TOKEN" 201 POST "/api/order/$ORDER/refund" \
  "{\"reason\": \"too bitter\", \"lines\": $LINES}" -H "idempotency-key: refund-$RUN")
echo "$applied"
REFUND=$(field refund_no "$applied")
as "$ADMIN_TOKEN" 200 POST "/admin/refunds/$REFUND/approve" '{"restock": "all", "reason": "unopened"}'
as "$ADMIN_TOKEN" 200 POST "/admin/refunds/$REFUND/request" '{}'
finished=$(notify 200 "{\"kind\": \"refund_finished\", \"refund_no\": \"$REFUND\", \"provider_refund_id\": \"r-$ORDER\"}")
echo "$finished"
is state finished "$finished"

step "done: the life of order $ORDER"
