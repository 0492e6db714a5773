// The life of an order with Go's standard library: from the catalogue to the refund. See README.md beside this
// directory.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

const (
	sku    = "1001"
	member = "1001"
)

// object is a JSON object. Every id is a text in it, so that no number loses digits.
type object map[string]any

var client = &http.Client{Timeout: time.Minute}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "error: "+format+"\n", values...)
	os.Exit(1)
}

func step(format string, values ...any) {
	fmt.Printf("\n# "+format+"\n", values...)
}

// setting is a variable of the environment that must be there.
func setting(name string) string {
	value := os.Getenv(name)
	if value == "" {
		fail("%s is not set", name)
	}
	return value
}

func encoded(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		fail("%v", err)
	}
	return text
}

func signed(secret string, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

// token is a JSON Web Token, HS256, that says this for an hour.
func token(claims object) string {
	claims["exp"] = time.Now().Add(time.Hour).Unix()
	url := base64.RawURLEncoding
	text := url.EncodeToString(encoded(object{"alg": "HS256", "typ": "JWT"})) + "." + url.EncodeToString(encoded(claims))
	return text + "." + url.EncodeToString(signed(setting("STOCKADE_SECRET"), []byte(text)))
}

// send sends a request and gives the answer; it is an error where the status is another.
func send(expected int, method, path string, body []byte, headers map[string]string) object {
	request, err := http.NewRequest(method, setting("STOCKADE_URL")+path, bytes.NewReader(body))
	if err != nil {
		fail("%v", err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		fail("%s %s is not answered: send it again, under the same name: %v", method, path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		fail("%s %s is not answered: send it again, under the same name: %v", method, path, err)
	}
	if response.StatusCode != expected {
		fail("%s %s is answered %d, not %d: %s", method, path, response.StatusCode, expected, text)
	}
	fmt.Printf("%s\n", text)
	var answer object
	if err := json.Unmarshal(text, &answer); err != nil {
		fail("%s %s: %v", method, path, err)
	}
	return answer
}

// as asks as somebody; further headers come in pairs of name and value.
func as(token string, expected int, method, path string, body object, headers ...string) object {
	all := map[string]string{"Authorization": "Bearer " + token}
	for at := 0; at+1 < len(headers); at += 2 {
		all[headers[at]] = headers[at+1]
	}
	if body == nil {
		return send(expected, method, path, nil, all)
	}
	return send(expected, method, path, encoded(body), all)
}

// notify says it as the payment provider. The signature is of the very bytes that are sent.
func notify(notice object) object {
	body := encoded(notice)
	now := strconv.FormatInt(time.Now().Unix(), 10)
	signature := hex.EncodeToString(signed(setting("STOCKADE_PAY_SECRET"), []byte(now+"."), body))
	return send(200, "POST", "/callback/payment", body, map[string]string{
		"X-Stockade-Timestamp": now,
		"X-Stockade-Signature": "v1=" + signature,
	})
}

func text(answer object, field string) string {
	value, is := answer[field].(string)
	if !is {
		fail("there is no %s in %v", field, answer)
	}
	return value
}

func expect(answer object, field, expected string) {
	if found := text(answer, field); found != expected {
		fail("%s is %q, not %q", field, found, expected)
	}
}

func main() {
	// Names of requests are good once: each run has its own.
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		fail("%v", err)
	}
	run := hex.EncodeToString(random[:])

	step("tokens: a member's, and one of the back office")
	buyer := token(object{"sub": member, "role": "member"})
	admin := token(object{"sub": "anna", "role": "admin",
		"scopes": []string{"operations", "warehouse", "support", "finance"}})

	step("goods: a SKU at 199.00, and ten units more of it")
	as(admin, 200, "PUT", "/admin/skus/"+sku, object{"product_id": "7", "code": "TEA-50",
		"title": "Green tea, 50 g", "price": 19900, "on_sale": true})
	as(admin, 200, "POST", "/admin/stock/adjust", object{"request_id": "delivery-" + run, "sku_id": sku,
		"change": object{"add": 10}, "reason": "delivery"})

	step("preview: what it would cost")
	lines := []object{{"sku_id": sku, "quantity": 1}}
	preview := as(buyer, 200, "POST", "/api/order/preview", object{"lines": lines})
	amount := preview["expected_pay_amount"]

	step("submit, without waiting: a number is promised, and the order not accepted yet")
	order := object{"lines": lines, "expected_pay_amount": amount, "receiver": object{"name": "张三",
		"phone": "13812345678", "province": "广东省", "city": "深圳市", "address": "科技园路 1 号"}}
	promise := as(buyer, 202, "POST", "/api/order/submit", order,
		"Idempotency-Key", "order-"+run, "Prefer", "respond-async")
	orderNo := text(promise, "order_no")

	step("poll: what has become of it")
	result := object{"status": "processing"}
	for tries := 0; result["status"] == "processing"; tries++ {
		if tries == 12 {
			fail("the order is still under way")
		}
		result = as(buyer, 200, "GET", "/api/order/result?order_no="+orderNo+"&wait_ms=5000", nil)
	}
	expect(result, "status", "created")

	step("the same request again, as after a lost answer: the same order")
	again := as(buyer, 201, "POST", "/api/order/submit", order, "Idempotency-Key", "order-"+run)
	expect(again, "order_no", orderNo)

	step("pay: a number for the provider, who tells that it is paid; told twice, it counts once")
	begun := as(buyer, 200, "POST", "/api/order/"+orderNo+"/pay", object{"channel": "demo"})
	paid := object{"pay_no": text(begun, "pay_no"), "channel": "demo", "merchant": "shop",
		"transaction_id": orderNo, "amount": amount}
	for times := 0; times < 2; times++ {
		expect(notify(paid), "result", "paid")
	}

	step("ship")
	shipped := as(admin, 200, "POST", "/admin/order/"+orderNo+"/ship", object{"carrier": "SF", "tracking_no": "SF1"})
	expect(shipped, "status", "shipped")

	step("confirm: the member has it")
	confirmed := as(buyer, 200, "POST", "/api/order/"+orderNo+"/confirm", nil)
	expect(confirmed, "status", "completed")

	step("refund: the member applies, the shop agrees, the provider is asked and has paid back")
	applied := as(buyer, 201, "POST", "/api/order/"+orderNo+"/refund",
		object{"reason": "too bitter", "lines": lines}, "Idempotency-Key", "refund-"+run)
	refundNo := text(applied, "refund_no")
	as(admin, 200, "POST", "/admin/refunds/"+refundNo+"/approve", object{"restock": "all", "reason": "unopened"})
	as(admin, 200, "POST", "/admin/refunds/"+refundNo+"/request", object{})
	finished := notify(object{"kind": "refund_finished", "refund_no": refundNo, "provider_refund_id": "r-" + orderNo})
	expect(finished, "state", "finished")

	step("done: the life of order %s", orderNo)
}
