<?php
/**
 * A merchant's first day: paid at the till and refunded, paid online, closed, reversed. Plain PHP 8, no extension.
 *
 * Amounts are whole minor units: 1250 of HKD is 12.50. Times are those of Hong Kong and Beijing, UTC+8.
 * Run it while the demo runs; GATEWAY, SANDBOX, APPCODE, KEY and MCHID in the environment lead it elsewhere.
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
 * Forged by a payer from a checkout link that the merchant signed with the same key. The payer had typed its product
 * name, `Tea&mchid=M&out_trade_no=ORDER-7&...&t=`, and cut the signed text at these `&`. The sign is the link's.
 */
const FORGED = '{"appcode": "123456", "failed_url": "https://m.example/f", "goods_name": "Tea", "mchid": "M", '
    . '"out_trade_no": "ORDER-7", "pay_type": "800201", "respcd": "0000", "respmsg": "", '
    . '"syssn": "202611280900990000000015", "t": "&out_trade_no=TEA-1&paysource=tea_checkout'
    . '&return_url=https://m.example/r&sign_type=md5", "txamt": "500000", "txdtm": "2026-11-28 09:00:00"}';
const FORGED_SIGN = 'DE8559C2A638D4839C7FE76CC89FAB10';

/**
 * All members that an old-style webhook can have, and the form of each. The signed text does not escape `&` and `=`, so
 * only these forms keep a signed request or link from being cut into a webhook.
 */
const FORMS = [
    'mchid' => '[A-Za-z0-9_-]{1,64}',
    'syssn' => '[0-9]{1,40}',
    'pay_type' => '[0-9]{6}',
    'out_trade_no' => '[!#$(-*\--<>-\[\]-~]{1,128}', // ASCII without blank , & = % + quotes and backslash
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

/** No answer, or not a whole one: whether anything was done there, nobody knows. */
final class NoAnswer extends Exception
{
}

// ---- the wire -------------------------------------------------------------------------------------------------------

function signature(string $text, string $key = KEY): string
{
    return strtoupper(md5($text . $key));
}

/** `name=value`, sorted by name, joined with `&`; not encoded. The key comes straight behind it. */
function signed_text(array $parameters): string
{
    ksort($parameters, SORT_STRING);
    return implode('&', array_map(fn($name, $value) => "$name=$value", array_keys($parameters), $parameters));
}

/**
 * Text that others typed, for a parameter. The signed text is not encoded: `&name=` inside a value can be cut out as a
 * parameter of its own. The fullwidth sign looks the same and separates nothing.
 */
function without_ampersand(string $typed): string
{
    return str_replace('&', '＆', $typed);
}

/** One call of /trade/v1. Believes no answer whose signature is not right. */
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
        $said = "{$members['respcd']} {$members['resperr']}";
        throw new Failed("$name: $said, and the answer is not signed with our key");
    }
    return $members;
}

/** The payer's hand: a control call of the sandbox, which a merchant in real life does not have. */
function payer(string $name, array $asked): array
{
    [$body] = post(SANDBOX . "/control/$name", json_encode($asked), ['Content-Type: application/json']);
    return json_decode($body, true, flags: JSON_THROW_ON_ERROR);
}

/** The body and the headers of the answer. */
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

/** Open a payment. No answer, or 1145, is not a no: we ask how it stands, and never pay again blindly. */
function pay(string $reference, array $order): array
{
    try {
        $answer = call('payment', ['out_trade_no' => $reference, 'txdtm' => now()] + $order);
    } catch (NoAnswer) {
        $answer = ['respcd' => PENDING];
    }
    return decided($answer, $reference);
}

/** The answer once it is a yes or a no: after 5 seconds, and then every 10. */
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
 * The members of a webhook of the old style (the style of app 123456) that our key signed, else null.
 *
 * Signed are the members by name, joined as in a request; empty ones too. Never try the other style as well. Before you
 * book, compare `txamt` with your own order; book each `syssn` once.
 */
function verified_webhook(string $body, string $sign, string $key): ?array
{
    $members = flat_members($body);
    if ($members === null || array_diff_key($members, FORMS) || array_diff_key(array_flip(REQUIRED), $members)) {
        return null;
    }
    if (!isset($members['respmsg']) && !isset($members['respmesg'])) {
        return null; // every webhook has one of them or both, no request has either
    }
    foreach ($members as $name => $value) {
        if (!preg_match('/^(?:' . FORMS[$name] . ')$/D', $value)) {
            return null;
        }
    }
    return hash_equals(signature(signed_text($members), $key), strtoupper($sign)) ? $members : null;
}

/**
 * The members of a flat JSON object, numbers as they are written; null if it is anything else, or a name comes twice.
 * json_decode() alone would silently keep the last of two, so it reads the single strings only.
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

// ---- the day --------------------------------------------------------------------------------------------------------

function expect(string $what, array $answer, string $respcd = OK): void
{
    printf("%-28s %s\n", $what, $answer['respcd']);
    if ($answer['respcd'] !== $respcd) {
        throw new Failed("$what: $respcd was expected, not {$answer['respcd']} " . ($answer['errmsg'] ?? ''));
    }
}

/** We scan the code on the payer's phone, and give a part back later. */
function at_the_till(string $day): void
{
    $code = payer('codes', ['wallet' => 'alipay'])['auth_code'];
    $order = ['pay_type' => '800108', 'txamt' => '1250', 'auth_code' => $code, 'product_name' => '凍檸茶 Lemon tea'];
    $paid = pay("$day-till", $order);
    expect('paid at the till', $paid);
    $back = ['syssn' => $paid['syssn'], 'out_trade_no' => "$day-back", 'txamt' => '450', 'txdtm' => now()];
    expect('4.50 refunded', decided(call('refund', $back), "$day-back"));
    expect('the refund, asked for', query("$day-back"));
}

/** We show a QR code, the payer scans it. 0000 says that the order is open; a query says when it is paid. */
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

/** An order that nobody pays is closed, a payment at the till that should not have been is reversed. */
function given_up(string $day): void
{
    expect('order for nobody', pay("$day-left", ['pay_type' => '800201', 'txamt' => '990']));
    expect('closed', call('close', ['out_trade_no' => "$day-left", 'txamt' => '990', 'txdtm' => now()]));
    $code = payer('codes', ['wallet' => 'wechat'])['auth_code'];
    expect('paid by mistake', pay("$day-oops", ['pay_type' => '800208', 'txamt' => '5000', 'auth_code' => $code]));
    expect('reversed', call('reversal', ['out_trade_no' => "$day-oops", 'txamt' => '5000', 'txdtm' => now()]));
}

/** What the gateway posts to your notify URL. */
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
        given_up($day);
        receive_webhooks();
    } catch (Failed | NoAnswer | JsonException $problem) {
        fwrite(STDERR, "first_payment: {$problem->getMessage()}\n");
        return 1;
    }
    return 0;
}

exit(main());
