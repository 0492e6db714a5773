<?php
// The life of an order in plain PHP 8: from the catalogue to the refund. See README.md beside this directory.

declare(strict_types=1);

const SKU = '1001';
const MEMBER = '1001';

/** A variable of the environment that must be there. */
function setting(string $name): string
{
    $value = getenv($name);
    if ($value === false || $value === '') {
        fail("$name is not set");
    }
    return $value;
}

function fail(string $message): never
{
    fwrite(STDERR, "error: $message\n");
    exit(1);
}

function step(string $text): void
{
    echo "\n# $text\n";
}

/** JSON as it is sent: every id is a text, so that no number loses digits. */
function json(array|object $value): string
{
    return json_encode($value, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES);
}

function base64url(string $bytes): string
{
    return rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
}

/** A JSON Web Token, HS256, that says this for an hour. */
function token(array $claims): string
{
    $head = base64url(json(['alg' => 'HS256', 'typ' => 'JWT']));
    $said = base64url(json($claims + ['exp' => time() + 3600]));
    return "$head.$said." . base64url(hash_hmac('sha256', "$head.$said", setting('STOCKADE_SECRET'), true));
}

/** Sends a request and gives the answer; it is an error where the status is another. */
function send(int $expected, string $method, string $path, ?string $body, array $headers): array
{
    if ($body !== null) {
        $headers[] = 'Content-Type: application/json';
    }
    $http = ['method' => $method, 'header' => $headers, 'content' => $body ?? '', 'timeout' => 60,
        'ignore_errors' => true, 'follow_location' => 0];
    $answer = @file_get_contents(setting('STOCKADE_URL') . $path, false, stream_context_create(['http' => $http]));
    if ($answer === false) {
        fail("$method $path is not answered: send it again, under the same name");
    }
    $status = (int) explode(' ', $http_response_header[0])[1];
    if ($status !== $expected) {
        fail("$method $path is answered $status, not $expected: $answer");
    }
    echo "$answer\n";
    return json_decode($answer, true, 32, JSON_THROW_ON_ERROR);
}

/** Asks as somebody. */
function ask(string $token, int $expected, string $method, string $path, ?array $body = null, array $headers = []): array
{
    $headers[] = "Authorization: Bearer $token";
    return send($expected, $method, $path, $body === null ? null : json($body), $headers);
}

/** Says it as the payment provider. The signature is of the very bytes that are sent. */
function notify(array $notice): array
{
    $body = json($notice);
    $now = (string) time();
    $signature = hash_hmac('sha256', "$now.$body", setting('STOCKADE_PAY_SECRET'));
    return send(200, 'POST', '/callback/payment', $body,
        ["X-Stockade-Timestamp: $now", "X-Stockade-Signature: v1=$signature"]);
}

function expect(string $what, mixed $expected, mixed $found): void
{
    if ($found !== $expected) {
        fail("$what is " . json_encode($found) . ', not ' . json_encode($expected));
    }
}

// Names of requests are good once: each run has its own.
$run = bin2hex(random_bytes(8));

step('tokens: a member\'s, and one of the back office');
$member = token(['sub' => MEMBER, 'role' => 'member']);
$admin = token(['sub' => 'anna', 'role' => 'admin', 'scopes' => ['operations', 'warehouse', 'support', 'finance']]);

step('goods: a SKU at 199.00, and ten units more of it');
ask($admin, 200, 'PUT', '/admin/skus/' . SKU, ['product_id' => '7', 'code' => 'TEA-50',
    'title' => 'Green tea, 50 g', 'price' => 19900, 'on_sale' => true]);
ask($admin, 200, 'POST', '/admin/stock/adjust', ['request_id' => "delivery-$run", 'sku_id' => SKU,
    'change' => ['add' => 10], 'reason' => 'delivery']);

step('preview: what it would cost');
$lines = [['sku_id' => SKU, 'quantity' => 1]];
$amount = ask($member, 200, 'POST', '/api/order/preview', ['lines' => $lines])['expected_pay_amount'];

step('submit, without waiting: a number is promised, and the order not accepted yet');
$order = ['lines' => $lines, 'expected_pay_amount' => $amount, 'receiver' => ['name' => '张三',
    'phone' => '13812345678', 'province' => '广东省', 'city' => '深圳市', 'address' => '科技园路 1 号']];
$promise = ask($member, 202, 'POST', '/api/order/submit', $order,
    ["Idempotency-Key: order-$run", 'Prefer: respond-async']);
$orderNo = $promise['order_no'];

step('poll: what has become of it');
for ($tries = 0; ; $tries++) {
    $result = ask($member, 200, 'GET', "/api/order/result?order_no=$orderNo&wait_ms=5000");
    if ($result['status'] !== 'processing') {
        break;
    }
    if ($tries === 12) {
        fail('the order is still under way');
    }
}
expect('the result', 'created', $result['status']);

step('the same request again, as after a lost answer: the same order');
$again = ask($member, 201, 'POST', '/api/order/submit', $order, ["Idempotency-Key: order-$run"]);
expect('the order\'s number', $orderNo, $again['order_no']);

step('pay: a number for the provider, who tells that it is paid; told twice, it counts once');
$begun = ask($member, 200, 'POST', "/api/order/$orderNo/pay", ['channel' => 'demo']);
$paid = ['pay_no' => $begun['pay_no'], 'channel' => 'demo', 'merchant' => 'shop', 'transaction_id' => $orderNo,
    'amount' => $amount];
for ($times = 0; $times < 2; $times++) {
    expect('the result', 'paid', notify($paid)['result']);
}

step('ship');
$shipped = ask($admin, 200, 'POST', "/admin/order/$orderNo/ship", ['carrier' => 'SF', 'tracking_no' => 'SF1']);
expect('the status', 'shipped', $shipped['status']);

step('confirm: the member has it');
$confirmed = ask($member, 200, 'POST', "/api/order/$orderNo/confirm");
expect('the status', 'completed', $confirmed['status']);

step('refund: the member applies, the shop agrees, the provider is asked and has paid back');
$applied = ask($member, 201, 'POST', "/api/order/$orderNo/refund",
    ['reason' => 'too bitter', 'lines' => $lines], ["Idempotency-Key: refund-$run"]);
$refundNo = $applied['refund_no'];
ask($admin, 200, 'POST', "/admin/refunds/$refundNo/approve", ['restock' => 'all', 'reason' => 'unopened']);
ask($admin, 200, 'POST', "/admin/refunds/$refundNo/request", ['reason' => 'asked for by hand']);
$finished = notify(['kind' => 'refund_finished', 'refund_no' => $refundNo, 'provider_refund_id' => "r-$orderNo"]);
expect('the state', 'finished', $finished['state']);

step("done: the life of order $orderNo");
