#!/usr/bin/env bash
# First payments: a barcode payment with a refund, an online payment, a close, a reversal. Needs bash, curl and md5sum.
#
# Amounts are in minor units: 1250 of HKD is 12.50. Times are in UTC+8, the time of Hong Kong and Beijing.
# Start the demo first, or set GATEWAY, SANDBOX, APPCODE, KEY and MCHID in the environment for another server.
# The key is passed to md5sum on its standard input, never as an argument, which every user of the machine could read.
set -euo pipefail
export LC_ALL=C # sort by bytes, whatever the system's language

GATEWAY=${GATEWAY:-http://127.0.0.1:8000}
SANDBOX=${SANDBOX:-http://127.0.0.1:8001}
APPCODE=${APPCODE:-123456}
KEY=${KEY:-123456}
MCHID=${MCHID:-eqqmYMn0Zj6pncw5ZDxjgMqbzV}

TIMEOUT_S=30
OK=0000 PENDING=1145 REFUND_PENDING=2999
FIRST_REST_S=5 NEXT_REST_S=10 MAX_QUERIES=12

answers=$(mktemp -d)
trap 'rm -rf "$answers"' EXIT

fail() {
  echo "first_payment: $*" >&2
  exit 1
}

# ---- the wire ------------------------------------------------------------------------------------------------------

# signature [KEY] : the signature of standard input, followed directly by the key.
signature() { { cat; printf '%s' "${1:-$KEY}"; } | md5sum | cut -d ' ' -f 1 | tr a-f A-F; }

# call NAME parameter=value ... : one call of /trade/v1. Refuses a response without a valid signature.
# The signed text is `name=value` sorted by name and joined with `&`, not encoded; curl encodes what is sent.
call() {
  local name=$1 form=() pair sign; shift
  set -- "mchid=$MCHID" "$@"
  for pair; do form+=(--data-urlencode "$pair"); done
  sign=$(printf '%s\n' "$@" | sort | paste -sd '&' | tr -d '\n' | signature)
  curl -sS --max-time "$TIMEOUT_S" -H "X-QF-APPCODE: $APPCODE" -H "X-QF-SIGN: $sign" "${form[@]}" \
    -D "$answers/headers" -o "$answers/body" "$GATEWAY/trade/v1/$name" || return
  if ! grep -qi "^x-qf-sign: $(signature < "$answers/body")" "$answers/headers"; then
    fail "$name: $(member respcd < "$answers/body"), and the answer is not signed with our key"
  fi
  cat "$answers/body"
}

# payer NAME JSON : acts as the payer with a control call of the sandbox. A live gateway has no such calls.
payer() { curl -sS --fail --max-time "$TIMEOUT_S" -d "$2" "$SANDBOX/control/$1"; }

# member NAME : a member of the JSON on standard input. Enough for these flat responses; programs use a JSON library.
member() { grep -o "\"$1\": *\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4; }

# without_ampersand TEXT : makes text from customers safe for a parameter. The signed text is not encoded: `&name=` inside
# a value could be read as a parameter of its own. The fullwidth sign looks the same and separates nothing.
without_ampersand() { printf '%s' "${1//&/＆}"; }

now() { TZ=UTC-8 date '+%Y-%m-%d %H:%M:%S'; }

# ---- what every merchant's program needs ---------------------------------------------------------------------------

# query REFERENCE : the row of one payment or refund.
query() {
  call query "out_trade_no=$1" > "$answers/rows" || fail "no answer from $GATEWAY"
  grep -o "{[^{}]*\"out_trade_no\": \"$1\"[^{}]*}" "$answers/rows" || fail "$1 is not known to the gateway"
}

# pay REFERENCE parameter=value ... : opens a payment.
# No response, or 1145, does not mean failed: query the payment, never just pay again.
pay() {
  local reference=$1; shift
  { call payment "out_trade_no=$reference" "txdtm=$(now)" "$@" || echo "{\"respcd\": \"$PENDING\"}"; } | decided "$reference"
}

# decided REFERENCE : the response on standard input, queried until it is final: after 5 seconds, and then every 10.
decided() {
  local answer rest_s=$FIRST_REST_S queries
  answer=$(cat)
  for ((queries = 0; queries < MAX_QUERIES; queries++)); do
    case $(member respcd <<< "$answer") in
      "$PENDING" | "$REFUND_PENDING") ;;
      *) echo "$answer"; return ;;
    esac
    sleep "$rest_s"
    rest_s=$NEXT_REST_S
    answer=$(query "$1")
  done
  fail "$1 is still not decided; at the till you would reverse it now"
}

# is_ours BODY SIGN KEY : whether this webhook of the new style, the style of apps added with `tael app add`, is signed
# with our key. The signature covers the received bytes. They must be a JSON object, since requests and links are signed
# as text, and must have notify_type, which no response has. A quote inside a JSON string has a backslash, so this is a
# member's name. An app of the old style (123456 of the demo) needs a program that parses JSON: see ../python.
# Never accept both styles. Before you record the payment, compare txamt and txcurrcd with your own order; record each
# syssn once.
is_ours() {
  [[ $1 == '{'* && $1 == *'"notify_type":'* && $(printf '%s' "$1" | signature "$3") == "$2" ]]
}

# expect WHAT ANSWER [RESPCD]
expect() {
  local respcd
  respcd=$(member respcd <<< "$2")
  printf '%-28s %s\n' "$1" "$respcd"
  [ "$respcd" = "${3:-$OK}" ] || fail "$1: ${3:-$OK} was expected, not $respcd"
}

# ---- the payments --------------------------------------------------------------------------------------------------

day=sh-$(date +%s%N)
printf '%-28s %s\n' "order numbers begin with" "$day"

# Scan the barcode on the payer's phone, and refund a part later.
code=$(payer codes '{"wallet": "alipay"}' | member auth_code)
paid=$(pay "$day-till" pay_type=800108 txamt=1250 "auth_code=$code" "product_name=凍檸茶 Lemon tea")
expect "paid at the till" "$paid"
refund=$(call refund "syssn=$(member syssn <<< "$paid")" "out_trade_no=$day-back" txamt=450 "txdtm=$(now)" | decided "$day-back")
expect "4.50 refunded" "$refund"
expect "refund queried" "$(query "$day-back")"

# Show a QR code for the payer to scan. 0000 means that the order is open; a query shows when it is paid.
typed="Tea & biscuits"
order=$(pay "$day-web" pay_type=800201 txamt=2500 "product_name=$(without_ampersand "$typed")")
expect "order with a QR code" "$order"
expect "not paid yet" "$(query "$day-web")" "$PENDING"
payer confirm "{\"url\": \"$(member qrcode <<< "$order")\", \"action\": \"pay\"}" > "$answers/confirmed"
expect "paid by the payer" "$(query "$day-web" | decided "$day-web")"

# Close an unpaid order, and reverse a barcode payment that was made by mistake.
expect "unpaid order" "$(pay "$day-left" pay_type=800201 txamt=990)"
expect "closed" "$(call close "out_trade_no=$day-left" txamt=990 "txdtm=$(now)")"
code=$(payer codes '{"wallet": "wechat"}' | member auth_code)
expect "paid by mistake" "$(pay "$day-oops" pay_type=800208 txamt=5000 "auth_code=$code")"
expect "reversed" "$(call reversal "out_trade_no=$day-oops" txamt=5000 "txdtm=$(now)")"

# A webhook as the gateway posts it to your notify URL.
webhook='{"status": "1", "pay_type": "800101", "sysdtm": "2020-05-14 12:32:56", "paydtm": "2020-05-14 12:33:56", "goods_name": "", "txcurrcd": "HKD", "txdtm": "2020-05-14 12:32:56", "mchid": "lkbqahlRYj", "txamt": "10", "exchange_rate": "", "chnlsn2": "", "out_trade_no": "YEPE7WTW46NVU30JW5N90H7DHD94N56B", "syssn": "20200514000300020093755455", "cash_fee_type": "", "cancel": "0", "respcd": "0000", "goods_info": "", "cash_fee": "0", "notify_type": "payment", "chnlsn": "2020051422001453561444935817", "cardcd": "2088032341453564"}'
is_ours "$webhook" A23AE38FBA54FF08BED63C1F11697186 123456 || fail "a genuine webhook was refused"

# Forged: another amount; the signed text of a checkout link, unchanged and split at each `&` (its product name, entered
# by the payer, was `Tea&mchid=M&out_trade_no=ORDER-7&...&t=`); an object that is signed over its bytes, but no webhook.
refuse() { ! is_ours "$1" "$2" 123456 || fail "a forged webhook was accepted"; }
changed=${webhook/'"10"'/'"11"'}
link='appcode=123456&failed_url=https://m.example/f&goods_name=Tea&mchid=M&out_trade_no=ORDER-7&pay_type=800201&respcd=0000&respmsg=&syssn=202611280900990000000015&t=&out_trade_no=TEA-1&paysource=tea_checkout&return_url=https://m.example/r&sign_type=md5&txamt=500000&txdtm=2026-11-28 09:00:00'
cut='{"appcode": "123456", "failed_url": "https://m.example/f", "goods_name": "Tea", "mchid": "M", "out_trade_no": "ORDER-7", "pay_type": "800201", "respcd": "0000", "respmsg": "", "syssn": "202611280900990000000015", "t": "&out_trade_no=TEA-1&paysource=tea_checkout&return_url=https://m.example/r&sign_type=md5", "txamt": "500000", "txdtm": "2026-11-28 09:00:00"}'
answer='{"pay_type": "800151", "txdtm": "2017-06-15 10:21:37", "mchid": "eqqmYMn0Zj6pncw5ZDxjgMqbzV", "txamt": 10, "respmsg": "", "out_trade_no": "A", "syssn": 201706150902990034076180, "respcd": "0000"}'
refuse "$changed" A23AE38FBA54FF08BED63C1F11697186
refuse "$link" DE8559C2A638D4839C7FE76CC89FAB10
refuse "$cut" DE8559C2A638D4839C7FE76CC89FAB10
refuse "$answer" E5458FD1705D723733F85F06E6101D6A
echo "webhooks verified"
