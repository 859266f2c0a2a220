import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.HttpTimeoutException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * First payments: a barcode payment with a refund, an online payment, a close, a reversal. Needs only Java 17:
 * {@code java FirstPayment.java}.
 *
 * <p>Amounts are in minor units: 1250 of HKD is 12.50. Times are in UTC+8, the time of Hong Kong and Beijing.
 * Start the demo first, or set GATEWAY, SANDBOX, APPCODE, KEY and MCHID in the environment for another server.
 */
public final class FirstPayment {
  private static final String GATEWAY = setting("GATEWAY", "http://127.0.0.1:8000");
  private static final String SANDBOX = setting("SANDBOX", "http://127.0.0.1:8001");
  private static final String APPCODE = setting("APPCODE", "123456");
  private static final String KEY = setting("KEY", "123456");
  private static final String MCHID = setting("MCHID", "eqqmYMn0Zj6pncw5ZDxjgMqbzV");

  private static final Duration TIMEOUT = Duration.ofSeconds(30);
  private static final String OK = "0000";
  private static final String PENDING = "1145";
  private static final String REFUND_PENDING = "2999";
  private static final Duration FIRST_REST = Duration.ofSeconds(5);
  private static final Duration NEXT_REST = Duration.ofSeconds(10);
  private static final int MAX_QUERIES = 12;
  private static final DateTimeFormatter MOMENT = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss");

  /** In Chinese and English; escaped, since Java 17 reads source files in the system's character set. */
  private static final String LEMON_TEA = "\u51cd\u6ab8\u8336 Lemon tea";

  /** A genuine webhook in the old style, its X-QF-SIGN, and the key of its app. */
  private static final String WEBHOOK =
      "{\"pay_type\": \"800151\", \"txdtm\": \"2017-06-15 10:21:37\", \"mchid\": \"eqqmYMn0Zj6pncw5ZDxjgMqbzV\", "
          + "\"txamt\": 10, \"respmsg\": \"\", \"out_trade_no\": \"A\", \"syssn\": 201706150902990034076180, "
          + "\"respcd\": \"0000\"}";
  private static final String WEBHOOK_SIGN = "67A4F8CD7C48E6E1900F300D803A0F67";
  private static final String WEBHOOK_KEY = "123456";

  /**
   * Forged by a payer from a checkout link that the merchant signed with the same key. The payer had entered the product
   * name {@code Tea&mchid=M&out_trade_no=ORDER-7&...&t=}, and split the signed text at each {@code &} of it. The
   * signature is the link's.
   */
  private static final String FORGED =
      "{\"appcode\": \"123456\", \"failed_url\": \"https://m.example/f\", \"goods_name\": \"Tea\", \"mchid\": \"M\", "
          + "\"out_trade_no\": \"ORDER-7\", \"pay_type\": \"800201\", \"respcd\": \"0000\", \"respmsg\": \"\", "
          + "\"syssn\": \"202611280900990000000015\", \"t\": \"&out_trade_no=TEA-1&paysource=tea_checkout"
          + "&return_url=https://m.example/r&sign_type=md5\", \"txamt\": \"500000\", "
          + "\"txdtm\": \"2026-11-28 09:00:00\"}";
  private static final String FORGED_SIGN = "DE8559C2A638D4839C7FE76CC89FAB10";

  /**
   * All members that an old-style webhook can have, and the form of each. The signed text does not escape {@code &}
   * and {@code =}, so only these forms prevent a signed request or link from being split into a webhook. An out_trade_no
   * is ASCII without spaces , & = % + quotes and backslash.
   */
  private static final Map<String, String> FORMS =
      Map.of(
          "mchid", "[A-Za-z0-9_-]{1,64}",
          "syssn", "[0-9]{1,40}",
          "pay_type", "[0-9]{6}",
          "out_trade_no", "[!#$(-*\\--<>-\\[\\]-~]{1,128}",
          "txamt", "[1-9][0-9]{0,10}",
          "respcd", "[0-9]{4}",
          "txdtm", "([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})?",
          "respmsg", "[^&=]*",
          "respmesg", "[^&=]*",
          "udid", "[^&]*(&(?!\\w+=)[^&]*)*");
  private static final Set<String> REQUIRED = Set.of("mchid", "syssn", "pay_type", "out_trade_no", "txamt", "respcd");
  private static final int MAX_WEBHOOK_CHARS = 4096;

  private final HttpClient http = HttpClient.newBuilder().connectTimeout(TIMEOUT).build();
  private final String day = "java-" + System.nanoTime();

  /** A result that this program did not expect. */
  private static final class Failed extends Exception {
    Failed(String message) {
      super(message);
    }
  }

  // ---- JSON: the JDK has no parser; your own program can use a library ----------------------------------------------

  /**
   * A strict parser for JSON (RFC 8259): objects become maps, arrays become lists, numbers keep their text. It refuses
   * an object that repeats a name, since parsers disagree on which one counts, and half a surrogate pair, which cannot
   * be in a signed text.
   */
  static final class Json {
    /** A number as written: a syssn has more digits than a long, and the signature covers the digits. */
    record Numeral(String digits) {
      @Override
      public String toString() {
        return digits;
      }
    }

    /** Stands for JSON's null; Java's null would mean a missing member in a map. */
    private static final Object NULL =
        new Object() {
          @Override
          public String toString() {
            return "null";
          }
        };

    private static final int MAX_DEPTH = 16;
    private static final Pattern NUMBER = Pattern.compile("-?(?:0|[1-9][0-9]*)(?:\\.[0-9]+)?(?:[eE][+-]?[0-9]+)?");
    private static final String ESCAPES = "\"\\/bfnrt";
    private static final String ESCAPED = "\"\\/\b\f\n\r\t";

    private final String text;
    private int at = 0;

    private Json(String text) {
      this.text = text;
    }

    /** The members of the object; the text must contain nothing else. */
    static Map<String, Object> object(String text) throws Failed {
      Json json = new Json(text);
      json.skipBlanks();
      json.expect('{');
      Map<String, Object> members = json.members(1);
      json.skipBlanks();
      if (json.at < text.length()) {
        throw json.wrong();
      }
      return members;
    }

    /** Writes an object of strings. */
    static String written(Map<String, String> members) {
      return members.entrySet().stream()
          .map(one -> quoted(one.getKey()) + ": " + quoted(one.getValue()))
          .collect(Collectors.joining(", ", "{", "}"));
    }

    private static String quoted(String value) {
      StringBuilder quoted = new StringBuilder("\"");
      for (char one : value.toCharArray()) {
        boolean isPlain = one >= ' ' && one != '"' && one != '\\';
        quoted.append(isPlain ? String.valueOf(one) : String.format("\\u%04x", (int) one));
      }
      return quoted.append('"').toString();
    }

    private Object value(int depth) throws Failed {
      skipBlanks();
      if (depth > MAX_DEPTH) {
        throw wrong();
      }
      if (skip("{")) {
        return members(depth + 1);
      }
      if (skip("[")) {
        return elements(depth + 1);
      }
      if (skip("\"")) {
        return string();
      }
      for (Object word : new Object[] {true, false, NULL}) {
        if (skip(word.toString())) {
          return word;
        }
      }
      Matcher number = NUMBER.matcher(text).region(at, text.length());
      if (!number.lookingAt()) {
        throw wrong();
      }
      at = number.end();
      return new Numeral(number.group());
    }

    private Map<String, Object> members(int depth) throws Failed {
      Map<String, Object> members = new TreeMap<>();
      skipBlanks();
      if (skip("}")) {
        return members;
      }
      do {
        skipBlanks();
        expect('"');
        String name = string();
        skipBlanks();
        expect(':');
        if (members.put(name, value(depth)) != null) {
          throw wrong();
        }
        skipBlanks();
      } while (skip(","));
      expect('}');
      return members;
    }

    private List<Object> elements(int depth) throws Failed {
      List<Object> elements = new ArrayList<>();
      skipBlanks();
      if (skip("]")) {
        return elements;
      }
      do {
        elements.add(value(depth));
        skipBlanks();
      } while (skip(","));
      expect(']');
      return elements;
    }

    /** Reads a string after its opening quote. */
    private String string() throws Failed {
      StringBuilder read = new StringBuilder();
      while (!skip("\"")) {
        char one = next();
        if (one < ' ') {
          throw wrong();
        }
        read.append(one == '\\' ? escaped() : one);
      }
      if (!StandardCharsets.UTF_8.newEncoder().canEncode(read)) {
        throw wrong();
      }
      return read.toString();
    }

    private char escaped() throws Failed {
      char one = next();
      if (one != 'u') {
        int which = ESCAPES.indexOf(one);
        if (which < 0) {
          throw wrong();
        }
        return ESCAPED.charAt(which);
      }
      int code = 0;
      for (int digits = 0; digits < 4; digits++) {
        int digit = "0123456789abcdef".indexOf(Character.toLowerCase(next()));
        if (digit < 0) {
          throw wrong();
        }
        code = code * 16 + digit;
      }
      return (char) code;
    }

    private char next() throws Failed {
      if (at == text.length()) {
        throw wrong();
      }
      return text.charAt(at++);
    }

    private boolean skip(String expected) {
      boolean isThere = text.startsWith(expected, at);
      at += isThere ? expected.length() : 0;
      return isThere;
    }

    private void expect(char expected) throws Failed {
      if (next() != expected) {
        throw wrong();
      }
    }

    private void skipBlanks() {
      while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) {
        at++;
      }
    }

    private Failed wrong() {
      return new Failed("no JSON from character " + at + " on");
    }
  }

  // ---- the wire -----------------------------------------------------------------------------------------------------

  static String signature(String text, String key) {
    try {
      byte[] digest = MessageDigest.getInstance("MD5").digest((text + key).getBytes(StandardCharsets.UTF_8));
      return HexFormat.of().withUpperCase().formatHex(digest);
    } catch (NoSuchAlgorithmException impossible) {
      throw new AssertionError(impossible);
    }
  }

  /** Compares in constant time: the time must not reveal how much of a forged signature is correct. */
  static boolean isSignature(String sign, String text, String key) {
    byte[] expected = signature(text, key).getBytes(StandardCharsets.UTF_8);
    return MessageDigest.isEqual(expected, sign.toUpperCase(Locale.ROOT).getBytes(StandardCharsets.UTF_8));
  }

  /** {@code name=value} sorted by name and joined with {@code &}, not encoded. The key follows it directly. */
  static String signedText(Map<String, String> parameters) {
    return new TreeMap<>(parameters)
        .entrySet().stream().map(one -> one.getKey() + "=" + one.getValue()).collect(Collectors.joining("&"));
  }

  /**
   * Makes text from customers safe for a parameter. The signed text is not encoded: {@code &name=} inside a value could
   * be read as a parameter of its own. The fullwidth sign looks the same and separates nothing.
   */
  static String withoutAmpersand(String typed) {
    return typed.replace('&', '\uff06');
  }

  static String form(Map<String, String> parameters) {
    return parameters.entrySet().stream()
        .map(one -> one.getKey() + "=" + URLEncoder.encode(one.getValue(), StandardCharsets.UTF_8))
        .collect(Collectors.joining("&"));
  }

  /** One call of /trade/v1. Refuses a response without a valid signature. */
  Map<?, ?> call(String name, Map<String, String> asked) throws Failed, IOException, InterruptedException {
    Map<String, String> parameters = new TreeMap<>(asked);
    parameters.put("mchid", MCHID);
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(GATEWAY + "/trade/v1/" + name))
            .timeout(TIMEOUT)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("X-QF-APPCODE", APPCODE)
            .header("X-QF-SIGN", signature(signedText(parameters), KEY))
            .POST(BodyPublishers.ofString(form(parameters)))
            .build();
    HttpResponse<String> answer = http.send(request, BodyHandlers.ofString(StandardCharsets.UTF_8));
    String sign = answer.headers().firstValue("X-QF-SIGN").orElse("");
    if (!isSignature(sign, answer.body(), KEY)) {
      String respcd = text(Json.object(answer.body()), "respcd");
      throw new Failed(name + ": " + respcd + ", and the answer is not signed with our key");
    }
    return Json.object(answer.body());
  }

  /** Acts as the payer with a control call of the sandbox. A live gateway has no such calls. */
  Map<?, ?> payer(String name, Map<String, String> asked) throws Failed, IOException, InterruptedException {
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(SANDBOX + "/control/" + name))
            .timeout(TIMEOUT)
            .POST(BodyPublishers.ofString(Json.written(asked)))
            .build();
    return Json.object(http.send(request, BodyHandlers.ofString(StandardCharsets.UTF_8)).body());
  }

  /** The text or the digits of a member; "" if it is absent. */
  static String text(Map<?, ?> members, String name) {
    Object value = members.get(name);
    return value == null ? "" : value.toString();
  }

  static String now() {
    return LocalDateTime.now(ZoneOffset.ofHours(8)).format(MOMENT);
  }

  // ---- what every merchant's program needs --------------------------------------------------------------------------

  /** The row of one payment or refund. */
  Map<?, ?> query(String reference) throws Failed, IOException, InterruptedException {
    if (call("query", Map.of("out_trade_no", reference)).get("data") instanceof List<?> rows) {
      for (Object each : rows) {
        if (each instanceof Map<?, ?> row && reference.equals(row.get("out_trade_no"))) {
          return row;
        }
      }
    }
    throw new Failed(reference + " is not known to the gateway");
  }

  /** Opens a payment. No response, or 1145, does not mean failed: query the payment, never just pay again. */
  Map<?, ?> pay(String reference, Map<String, String> order) throws Failed, IOException, InterruptedException {
    Map<String, String> parameters = new TreeMap<>(order);
    parameters.put("out_trade_no", reference);
    parameters.put("txdtm", now());
    Map<?, ?> answer;
    try {
      answer = call("payment", parameters);
    } catch (HttpTimeoutException silence) {
      answer = Map.of("respcd", PENDING);
    }
    return decided(answer, reference);
  }

  /** Queries until the result is final: after 5 seconds, and then every 10. */
  Map<?, ?> decided(Map<?, ?> first, String reference) throws Failed, IOException, InterruptedException {
    Map<?, ?> answer = first;
    Duration rest = FIRST_REST;
    for (int queries = 0; queries < MAX_QUERIES; queries++) {
      String respcd = text(answer, "respcd");
      if (!respcd.equals(PENDING) && !respcd.equals(REFUND_PENDING)) {
        return answer;
      }
      Thread.sleep(rest.toMillis());
      rest = NEXT_REST;
      answer = query(reference);
    }
    throw new Failed(reference + " is still not decided; at the till you would reverse it now");
  }

  /**
   * The members of a webhook of the old style (the style of app 123456), if our key signed it.
   *
   * <p>The signed text is that of a request, with all members including empty ones. Never accept both styles. Before
   * you record the payment, compare txamt with your own order; record each syssn once.
   */
  static Optional<Map<String, String>> verifiedWebhook(String body, String sign, String key) {
    Map<String, String> members = flatMembers(body);
    boolean isWhole = FORMS.keySet().containsAll(members.keySet()) && members.keySet().containsAll(REQUIRED);
    // Every webhook has at least one of these, no request has either.
    boolean hasMessage = members.containsKey("respmsg") || members.containsKey("respmesg");
    if (!isWhole || !hasMessage || !members.entrySet().stream().allMatch(FirstPayment::hasForm)) {
      return Optional.empty();
    }
    return isSignature(sign, signedText(members), key) ? Optional.of(members) : Optional.empty();
  }

  static boolean hasForm(Map.Entry<String, String> member) {
    return member.getValue().matches(FORMS.get(member.getKey()));
  }

  /** The members of an object of strings and numbers; empty for anything else. */
  static Map<String, String> flatMembers(String json) {
    Map<String, String> members = new TreeMap<>();
    try {
      Map<String, Object> read = json.length() <= MAX_WEBHOOK_CHARS ? Json.object(json) : Map.of();
      for (Map.Entry<String, Object> each : read.entrySet()) {
        if (!(each.getValue() instanceof String || each.getValue() instanceof Json.Numeral)) {
          return Map.of();
        }
        members.put(each.getKey(), each.getValue().toString());
      }
    } catch (Failed notJson) {
      return Map.of();
    }
    return members;
  }

  // ---- the payments -------------------------------------------------------------------------------------------------

  static void expect(String what, Map<?, ?> answer, String respcd) throws Failed {
    System.out.printf("%-28s %s%n", what, text(answer, "respcd"));
    if (!text(answer, "respcd").equals(respcd)) {
      throw new Failed(what + ": " + respcd + " was expected, not " + text(answer, "respcd"));
    }
  }

  /** Scans the barcode on the payer's phone, and refunds a part later. */
  void atTheTill() throws Failed, IOException, InterruptedException {
    String code = text(payer("codes", Map.of("wallet", "alipay")), "auth_code");
    Map<String, String> order =
        Map.of("pay_type", "800108", "txamt", "1250", "auth_code", code, "product_name", LEMON_TEA);
    Map<?, ?> paid = pay(day + "-till", order);
    expect("paid at the till", paid, OK);
    String back = day + "-back";
    Map<String, String> refund =
        Map.of("syssn", text(paid, "syssn"), "out_trade_no", back, "txamt", "450", "txdtm", now());
    expect("4.50 refunded", decided(call("refund", refund), back), OK);
    expect("refund queried", query(back), OK);
  }

  /** Shows a QR code for the payer to scan. 0000 means that the order is open; a query shows when it is paid. */
  void onAWebPage() throws Failed, IOException, InterruptedException {
    String reference = day + "-web";
    String typed = "Tea & biscuits";
    Map<String, String> asked =
        Map.of("pay_type", "800201", "txamt", "2500", "product_name", withoutAmpersand(typed));
    Map<?, ?> order = pay(reference, asked);
    expect("order with a QR code", order, OK);
    expect("not paid yet", query(reference), PENDING);
    payer("confirm", Map.of("url", text(order, "qrcode"), "action", "pay"));
    expect("paid by the payer", decided(query(reference), reference), OK);
  }

  /** Closes an unpaid order, and reverses a barcode payment that was made by mistake. */
  void undo() throws Failed, IOException, InterruptedException {
    String left = day + "-left";
    expect("unpaid order", pay(left, Map.of("pay_type", "800201", "txamt", "990")), OK);
    expect("closed", call("close", Map.of("out_trade_no", left, "txamt", "990", "txdtm", now())), OK);
    String oops = day + "-oops";
    String code = text(payer("codes", Map.of("wallet", "wechat")), "auth_code");
    expect("paid by mistake", pay(oops, Map.of("pay_type", "800208", "txamt", "5000", "auth_code", code)), OK);
    expect("reversed", call("reversal", Map.of("out_trade_no", oops, "txamt", "5000", "txdtm", now())), OK);
  }

  /** Verifies what the gateway posts to your notify URL. */
  static void receiveWebhooks() throws Failed {
    if (verifiedWebhook(WEBHOOK, WEBHOOK_SIGN, WEBHOOK_KEY).isEmpty()) {
      throw new Failed("a genuine webhook was refused");
    }
    String changed = WEBHOOK.replace("10,", "11,");
    if (verifiedWebhook(changed, WEBHOOK_SIGN, WEBHOOK_KEY).isPresent()
        || verifiedWebhook(FORGED, FORGED_SIGN, WEBHOOK_KEY).isPresent()) {
      throw new Failed("a forged webhook was accepted");
    }
    System.out.println("webhooks verified");
  }

  private static String setting(String name, String otherwise) {
    String set = System.getenv(name);
    return set == null || set.isEmpty() ? otherwise : set;
  }

  public static void main(String[] arguments) throws InterruptedException {
    FirstPayment merchant = new FirstPayment();
    System.out.printf("%-28s %s%n", "order numbers begin with", merchant.day);
    try {
      merchant.atTheTill();
      merchant.onAWebPage();
      merchant.undo();
      receiveWebhooks();
    } catch (Failed | IOException problem) {
      System.err.println("first_payment: " + problem.getMessage());
      System.exit(1);
    }
  }
}
