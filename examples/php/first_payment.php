<?php
/**
 * First payments: a barcode payment with a refund, an online payment, a close, a reversal. Plain PHP 8, no extension.
 *
 * Amounts are in minor units: 1250 of HKD is 12.50. Times are in UTC+8, the time of Hong Kong and Beijing.
 * Start the demo first, or set GATEWAY, SANDBOX, APPCODE, KEY and MCHID in the environment for another server.
 */

declare(strict_types=1);

define('GATEWAY', getenv('GATEWAY') ?: 'http://127.0.0.1:8000');
define('SANDBOX', getenv('SANDBOX') ?: 'http://127.0.0.1:8001');
define('APPCODE', getenv('APPCODE') ?: '123456');
define('KEY', getenv('KEY') ?: '123456');
define('MCHID', getenv('MCHID') ?: 'eqqmYMn0Zj6pncw5ZDxjgMqbzV');

const TIMEOUT_S = 30;
const OK = '0000';
const PENDING = '1145';
const REFUND_PENDING = '2999';
const FIRST_REST_S = 5;
const NEXT_REST_S = 10;
const MAX_QUERIES = 12;

/** A genuine webhook in the old style, its X-QF-SIGN, and the key of its app. */
const WEBHOOK = '{"pay_type": "800151", "txdtm": "2017-06-15 10:21:37", "mchid": "eqqmYMn0Zj6pncw5ZDxjgMqbzV", "txamt": 10, '
    . '"respmsg": "", "out_trade_no": "A", "syssn": 201706150902990034076180, "respcd": "0000"}';
const WEBHOOK_SIGN = '67A4F8CD7C48E6E1900F300D803A0F67';
const WEBHOOK_KEY = '123456';

/**
 * Forged by a payer from a checkout link that the merchant signed with the same key. The payer had entered the product
 * name `Tea&mchid=M&out_trade_no=ORDER-7&...&t=`, and split the signed text at each `&` of it. The signature is the
 * link's.
 */
const FORGED = '{"appcode": "123456", "failed_url": "https://m.example/f", "goods_name": "Tea", "mchid": "M", '
    . '"out_trade_no": "ORDER-7", "pay_type": "800201", "respcd": "0000", "respmsg": "", '
    . '"syssn": "202611280900990000000015", "t": "&out_trade_no=TEA-1&paysource=tea_checkout'
    . '&return_url=https://m.example/r&sign_type=md5", "txamt": "500000", "txdtm": "2026-11-28 09:00:00"}';
const FORGED_SIGN = 'DE8559C2A638D4839C7FE76CC89FAB10';

/**
 * All members that an old-style webhook can have, and the form of each. The signed text does not escape `&` and `=`, so
 * only these forms prevent a signed request or link from being split into a webhook.
 */
const FORMS = [
    'mchid' => '[A-Za-z0-9_-]{1,64}',
    'syssn' => '[0-9]{1,40}',
    'pay_type' => '[0-9]{6}',
    'out_trade_no' => '[!#$(-*\--<>-\[\]-~]{1,128}', // ASCII without spaces , & = % + quotes and backslash
    'txamt' => '[1-9][0-9]{0,10}',
    'respcd' => '[0-9]{4}',
    'txdtm' => '([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})?',
    'respmsg' => '[^&=]*',
    'respmesg' => '[^&=]*',
    'udid' => '[^&]*(&(?!\w+=)[^&]*)*',
];
const REQUIRED = ['mchid', 'syssn', 'pay_type', 'out_trade_no', 'txamt', 'respcd'];

/** A result that this program did not expect. */
final class Failed extends Exception
{
}

/** No complete response: it is unknown whether the request had an effect. */
final class NoAnswer extends Exception
{
}

// ---- the wire -------------------------------------------------------------------------------------------------------

function signature(string $text, string $key = KEY): string
{
    return strtoupper(md5($text . $key));
}

/** `name=value` sorted by name and joined with `&`, not encoded. The key follows it directly. */
function signed_text(array $parameters): string
{
    ksort($parameters, SORT_STRING);
    return implode('&', array_map(fn($name, $value) => "$name=$value", array_keys($parameters), $parameters));
}

/**
 * Makes text from customers safe for a parameter. The signed text is not encoded: `&name=` inside a value could be read
 * as a parameter of its own. The fullwidth sign looks the same and separates nothing.
 */
function without_ampersand(string $typed): string
{
    return str_replace('&', '＆', $typed);
}

/** One call of /trade/v1. Refuses a response without a valid signature. */
function call(string $name, array $parameters): array
{
    $parameters['mchid'] = MCHID;
    $sign = signature(signed_text($parameters));
    [$body, $headers] = post(GATEWAY . "/trade/v1/$name", http_build_query($parameters), [
        'Content-Type: application/x-www-form-urlencoded',
        'X-QF-APPCODE: ' . APPCODE,
        "X-QF-SIGN: $sign",
    ]);
    $members = json_decode($body, true, flags: JSON_THROW_ON_ERROR);
    $signs = preg_filter('/^x-qf-sign:\s*/i', '', $headers);
    if (!hash_equals(signature($body), strtoupper(trim(implode($signs))))) {
        $error = "{$members['respcd']} {$members['resperr']}";
        throw new Failed("$name: $error, and the answer is not signed with our key");
    }
    return $members;
}

/** Acts as the payer with a control call of the sandbox. A live gateway has no such calls. */
function payer(string $name, array $asked): array
{
    [$body] = post(SANDBOX . "/control/$name", json_encode($asked), ['Content-Type: application/json']);
    return json_decode($body, true, flags: JSON_THROW_ON_ERROR);
}

/** The body and the headers of the response. */
function post(string $url, string $body, array $headers): array
{
    $http = ['method' => 'POST', 'header' => $headers, 'content' => $body, 'timeout' => TIMEOUT_S, 'ignore_errors' => true];
    $answer = @file_get_contents($url, false, stream_context_create(['http' => $http]));
    if ($answer === false) {
        throw new NoAnswer("no answer from $url");
    }
    return [$answer, $http_response_header];
}

function now(): string
{
    return (new DateTimeImmutable('now', new DateTimeZone('+08:00')))->format('Y-m-d H:i:s');
}

// ---- what every merchant's program needs ----------------------------------------------------------------------------

/** The row of one payment or refund. */
function query(string $reference): array
{
    $rows = call('query', ['out_trade_no' => $reference])['data'];
    return $rows[0] ?? throw new Failed("$reference is not known to the gateway");
}

/** Opens a payment. No response, or 1145, does not mean failed: query the payment, never just pay again. */
function pay(string $reference, array $order): array
{
    try {
        $answer = call('payment', ['out_trade_no' => $reference, 'txdtm' => now()] + $order);
    } catch (NoAnswer) {
        $answer = ['respcd' => PENDING];
    }
    return decided($answer, $reference);
}

/** Queries until the result is final: after 5 seconds, and then every 10. */
function decided(array $answer, string $reference): array
{
    $rest_s = FIRST_REST_S;
    for ($queries = 0; $queries < MAX_QUERIES; $queries++) {
        if (!in_array($answer['respcd'], [PENDING, REFUND_PENDING], true)) {
            return $answer;
        }
        sleep($rest_s);
        $rest_s = NEXT_REST_S;
        $answer = query($reference);
    }
    throw new Failed("$reference is still not decided; at the till you would reverse it now");
}

/**
 * The members of a webhook of the old style (the style of app 123456), if signed with our key, else null.
 *
 * The signed text is that of a request, with all members including empty ones. Never accept both styles. Before you
 * record the payment, compare `txamt` with your own order; record each `syssn` once.
 */
function verified_webhook(string $body, string $sign, string $key): ?array
{
    $members = flat_members($body);
    if ($members === null || array_diff_key($members, FORMS) || array_diff_key(array_flip(REQUIRED), $members)) {
        return null;
    }
    if (!isset($members['respmsg']) && !isset($members['respmesg'])) {
        return null; // every webhook has at least one of them, no request has either
    }
    foreach ($members as $name => $value) {
        if (!preg_match('/^(?:' . FORMS[$name] . ')$/D', $value)) {
            return null;
        }
    }
    return hash_equals(signature(signed_text($members), $key), strtoupper($sign)) ? $members : null;
}

/**
 * The members of a flat JSON object, numbers as written; null for anything else, and for a repeated name. json_decode()
 * alone would silently keep the last of two, so here it decodes only the strings.
 */
function flat_members(string $body): ?array
{
    $found = preg_match_all('/\G[{,]\s*"(\w+)"\s*:\s*("(?:[^"\\\\]|\\\\.)*+"|[0-9]+)\s*/', $body, $parts);
    if (!$found || implode('', $parts[0]) . '}' !== rtrim($body)) {
        return null;
    }
    $values = array_map(fn($text) => $text[0] === '"' ? json_decode($text) : $text, $parts[2]);
    $members = array_combine($parts[1], $values);
    return count($members) === $found && !in_array(null, $values, true) ? $members : null;
}

// ---- the payments ---------------------------------------------------------------------------------------------------

function expect(string $what, array $answer, string $respcd = OK): void
{
    printf("%-28s %s\n", $what, $answer['respcd']);
    if ($answer['respcd'] !== $respcd) {
        throw new Failed("$what: $respcd was expected, not {$answer['respcd']} " . ($answer['errmsg'] ?? ''));
    }
}

/** Scans the barcode on the payer's phone, and refunds a part later. */
function at_the_till(string $day): void
{
    $code = payer('codes', ['wallet' => 'alipay'])['auth_code'];
    $order = ['pay_type' => '800108', 'txamt' => '1250', 'auth_code' => $code, 'product_name' => '凍檸茶 Lemon tea'];
    $paid = pay("$day-till", $order);
    expect('paid at the till', $paid);
    $back = ['syssn' => $paid['syssn'], 'out_trade_no' => "$day-back", 'txamt' => '450', 'txdtm' => now()];
    expect('4.50 refunded', decided(call('refund', $back), "$day-back"));
    expect('refund queried', query("$day-back"));
}

/** Shows a QR code for the payer to scan. 0000 means that the order is open; a query shows when it is paid. */
function on_a_web_page(string $day): void
{
    $typed = 'Tea & biscuits';
    $asked = ['pay_type' => '800201', 'txamt' => '2500', 'product_name' => without_ampersand($typed)];
    $order = pay("$day-web", $asked);
    expect('order with a QR code', $order);
    expect('not paid yet', query("$day-web"), PENDING);
    payer('confirm', ['url' => $order['qrcode'], 'action' => 'pay']);
    expect('paid by the payer', decided(query("$day-web"), "$day-web"));
}

/** Closes an unpaid order, and reverses a barcode payment that was made by mistake. */
function undo(string $day): void
{
    expect('unpaid order', pay("$day-left", ['pay_type' => '800201', 'txamt' => '990']));
    expect('closed', call('close', ['out_trade_no' => "$day-left", 'txamt' => '990', 'txdtm' => now()]));
    $code = payer('codes', ['wallet' => 'wechat'])['auth_code'];
    expect('paid by mistake', pay("$day-oops", ['pay_type' => '800208', 'txamt' => '5000', 'auth_code' => $code]));
    expect('reversed', call('reversal', ['out_trade_no' => "$day-oops", 'txamt' => '5000', 'txdtm' => now()]));
}

/** Verifies what the gateway posts to your notify URL. */
function receive_webhooks(): void
{
    if (verified_webhook(WEBHOOK, WEBHOOK_SIGN, WEBHOOK_KEY) === null) {
        throw new Failed('a genuine webhook was refused');
    }
    foreach ([[str_replace('10,', '11,', WEBHOOK), WEBHOOK_SIGN], [FORGED, FORGED_SIGN]] as [$body, $sign]) {
        if (verified_webhook($body, $sign, WEBHOOK_KEY) !== null) {
            throw new Failed('a forged webhook was accepted');
        }
    }
    echo "webhooks verified\n";
}

function main(): int
{
    $day = 'php-' . hrtime(true);
    printf("%-28s %s\n", 'order numbers begin with', $day);
    try {
        at_the_till($day);
        on_a_web_page($day);
        undo($day);
        receive_webhooks();
    } catch (Failed | NoAnswer | JsonException $problem) {
        fwrite(STDERR, "first_payment: {$problem->getMessage()}\n");
        return 1;
    }
    return 0;
}

exit(main());
