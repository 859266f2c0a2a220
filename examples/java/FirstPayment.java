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
import java.util.HexFormat;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * A merchant's first day: paid at the till and refunded, paid online, closed, reversed. Java 17 alone:
 * {@code java FirstPayment.java}.
 *
 * <p>Amounts are whole minor units: 1250 of HKD is 12.50. Times are those of Hong Kong and Beijing, UTC+8.
 * Run it while the demo runs; GATEWAY, SANDBOX, APPCODE, KEY and MCHID in the environment lead it elsewhere.
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
  private static final int MOST_QUERIES = 12;
  private static final DateTimeFormatter MOMENT = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss");

  /** In Chinese and English; escaped, since Java 17 reads a source file by the machine's own character set. */
  private static final String LEMON_TEA = "\u51cd\u6ab8\u8336 Lemon tea";

  /** A genuine webhook in the old style, its X-QF-SIGN, and the key of its app. */
  private static final String WEBHOOK =
      "{\"pay_type\": \"800151\", \"txdtm\": \"2017-06-15 10:21:37\", \"mchid\": \"eqqmYMn0Zj6pncw5ZDxjgMqbzV\", "
          + "\"txamt\": 10, \"respmsg\": \"\", \"out_trade_no\": \"A\", \"syssn\": 201706150902990034076180, "
          + "\"respcd\": \"0000\"}";
  private static final String WEBHOOK_SIGN = "67A4F8CD7C48E6E1900F300D803A0F67";
  private static final String WEBHOOK_KEY = "123456";

  /**
   * Forged by a payer from a checkout link that the merchant signed with the same key. The payer had typed its product
   * name, {@code Tea&mchid=M&out_trade_no=ORDER-7&...&t=}, and cut the signed text at these {@code &}. The sign is the
   * link's.
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
   * and {@code =}, so only these forms keep a signed request or link from being cut into a webhook. An out_trade_no is
   * ASCII without blank , & = % + quotes and backslash.
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

  /** A member of a flat JSON object, with the brace or comma before it; and an escape inside a string. */
  private static final Pattern MEMBER =
      Pattern.compile("\\G[{,]\\s*\"(\\w+)\"\\s*:\\s*(?:\"([^\"\\\\]*+(?:\\\\.[^\"\\\\]*+)*+)\"|([0-9]+))\\s*");
  private static final Pattern ESCAPE = Pattern.compile("\\\\(?:u([0-9A-Fa-f]{4})|([\"\\\\/bfnrt]))");

  private final HttpClient http = HttpClient.newBuilder().connectTimeout(TIMEOUT).build();
  private final String day = "java-" + System.nanoTime();

  /** A result that this program did not expect. */
  private static final class Failed extends Exception {
    Failed(String message) {
      super(message);
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

  /** {@code name=value}, sorted by name, joined with {@code &}; not encoded. The key comes straight behind it. */
  static String signedText(Map<String, String> parameters) {
    return new TreeMap<>(parameters)
        .entrySet().stream().map(one -> one.getKey() + "=" + one.getValue()).collect(Collectors.joining("&"));
  }

  /**
   * Text that others typed, for a parameter. The signed text is not encoded: {@code &name=} inside a value can be cut
   * out as a parameter of its own. The fullwidth sign looks the same and separates nothing.
   */
  static String withoutAmpersand(String typed) {
    return typed.replace('&', '\uff06');
  }

  static String form(Map<String, String> parameters) {
    return parameters.entrySet().stream()
        .map(one -> one.getKey() + "=" + URLEncoder.encode(one.getValue(), StandardCharsets.UTF_8))
        .collect(Collectors.joining("&"));
  }

  /** One call of /trade/v1. Believes no answer whose signature is not right. */
  String call(String name, Map<String, String> asked) throws Failed, IOException, InterruptedException {
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
    HttpResponse<String> answer = http.send(request, BodyHandlers.ofString());
    if (!signature(answer.body(), KEY).equals(answer.headers().firstValue("X-QF-SIGN").orElse(""))) {
      String respcd = member(answer.body(), "respcd");
      throw new Failed(name + ": " + respcd + ", and the answer is not signed with our key");
    }
    return answer.body();
  }

  /** The payer's hand: a control call of the sandbox, which a merchant in real life does not have. */
  String payer(String name, String json) throws IOException, InterruptedException {
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(SANDBOX + "/control/" + name))
            .timeout(TIMEOUT)
            .POST(BodyPublishers.ofString(json))
            .build();
    return http.send(request, BodyHandlers.ofString()).body();
  }

  /** The text of a member. Enough for these flat answers; a program of yours reads JSON by a library. */
  static String member(String json, String name) {
    Matcher found = Pattern.compile("\"" + name + "\": *\"?([^\",}]*)").matcher(json);
    return found.find() ? found.group(1) : "";
  }

  static String now() {
    return LocalDateTime.now(ZoneOffset.ofHours(8)).format(MOMENT);
  }

  // ---- what every merchant's program needs --------------------------------------------------------------------------

  /** The row of one payment or refund. */
  String query(String reference) throws Failed, IOException, InterruptedException {
    String rows = call("query", Map.of("out_trade_no", reference));
    Matcher found = Pattern.compile("\\{[^{}]*\"out_trade_no\": \"" + reference + "\"[^{}]*}").matcher(rows);
    if (!found.find()) {
      throw new Failed(reference + " is not known to the gateway");
    }
    return found.group();
  }

  /** Opens a payment. No answer, or 1145, is not a no: we ask how it stands, and never pay again blindly. */
  String pay(String reference, Map<String, String> order) throws Failed, IOException, InterruptedException {
    Map<String, String> parameters = new TreeMap<>(order);
    parameters.put("out_trade_no", reference);
    parameters.put("txdtm", now());
    String answer;
    try {
      answer = call("payment", parameters);
    } catch (HttpTimeoutException silence) {
      answer = "{\"respcd\": \"" + PENDING + "\"}";
    }
    return decided(answer, reference);
  }

  /** The answer once it is a yes or a no: after 5 seconds, and then every 10. */
  String decided(String first, String reference) throws Failed, IOException, InterruptedException {
    String answer = first;
    Duration rest = FIRST_REST;
    for (int queries = 0; queries < MOST_QUERIES; queries++) {
      String respcd = member(answer, "respcd");
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
   * <p>Signed are the members by name, joined as in a request; empty ones too. Never try the other style as well.
   * Before you book, compare txamt with your own order; book each syssn once.
   */
  static Optional<Map<String, String>> verifiedWebhook(String body, String sign, String key) {
    Map<String, String> members = flatMembers(body);
    boolean isWhole = FORMS.keySet().containsAll(members.keySet()) && members.keySet().containsAll(REQUIRED);
    // Every webhook has one of these or both, no request has either.
    boolean hasMessage = members.containsKey("respmsg") || members.containsKey("respmesg");
    if (!isWhole || !hasMessage || !members.entrySet().stream().allMatch(FirstPayment::hasForm)) {
      return Optional.empty();
    }
    byte[] expected = signature(signedText(members), key).getBytes(StandardCharsets.UTF_8);
    boolean isSigned = MessageDigest.isEqual(expected, sign.toUpperCase(Locale.ROOT).getBytes(StandardCharsets.UTF_8));
    return isSigned ? Optional.of(members) : Optional.empty();
  }

  static boolean hasForm(Map.Entry<String, String> member) {
    return member.getValue().matches(FORMS.get(member.getKey()));
  }

  /** The members of a flat JSON object, numbers as they are written; none if it is no such object or repeats a name. */
  static Map<String, String> flatMembers(String json) {
    Map<String, String> members = new TreeMap<>();
    int end = 0;
    if (json.length() <= MAX_WEBHOOK_CHARS) {
      for (Matcher each = MEMBER.matcher(json); each.find(); end = each.end()) {
        String value = each.group(2) != null ? unescaped(each.group(2)) : each.group(3);
        if (members.put(each.group(1), value) != null) {
          return Map.of();
        }
      }
    }
    return json.substring(end).strip().equals("}") ? members : Map.of();
  }

  static String unescaped(String text) {
    return ESCAPE
        .matcher(text)
        .replaceAll(
            one -> {
              char escaped =
                  one.group(1) != null
                      ? (char) Integer.parseInt(one.group(1), 16)
                      : "\"\\/\b\f\n\r\t".charAt("\"\\/bfnrt".indexOf(one.group(2)));
              return Matcher.quoteReplacement(String.valueOf(escaped));
            });
  }

  // ---- the day ------------------------------------------------------------------------------------------------------

  static void expect(String what, String answer, String respcd) throws Failed {
    System.out.printf("%-28s %s%n", what, member(answer, "respcd"));
    if (!member(answer, "respcd").equals(respcd)) {
      throw new Failed(what + ": " + respcd + " was expected, not " + member(answer, "respcd"));
    }
  }

  /** We scan the code on the payer's phone, and give a part back later. */
  void atTheTill() throws Failed, IOException, InterruptedException {
    String code = member(payer("codes", "{\"wallet\": \"alipay\"}"), "auth_code");
    Map<String, String> order =
        Map.of("pay_type", "800108", "txamt", "1250", "auth_code", code, "product_name", LEMON_TEA);
    String paid = pay(day + "-till", order);
    expect("paid at the till", paid, OK);
    String back = day + "-back";
    Map<String, String> refund =
        Map.of("syssn", member(paid, "syssn"), "out_trade_no", back, "txamt", "450", "txdtm", now());
    expect("4.50 refunded", decided(call("refund", refund), back), OK);
    expect("the refund, asked for", query(back), OK);
  }

  /** We show a QR code, the payer scans it. 0000 says that the order is open; a query says when it is paid. */
  void onAWebPage() throws Failed, IOException, InterruptedException {
    String reference = day + "-web";
    String typed = "Tea & biscuits";
    Map<String, String> asked =
        Map.of("pay_type", "800201", "txamt", "2500", "product_name", withoutAmpersand(typed));
    String order = pay(reference, asked);
    expect("order with a QR code", order, OK);
    expect("not paid yet", query(reference), PENDING);
    payer("confirm", "{\"url\": \"" + member(order, "qrcode") + "\", \"action\": \"pay\"}");
    expect("paid by the payer", decided(query(reference), reference), OK);
  }

  /** An order that nobody pays is closed, a payment at the till that should not have been is reversed. */
  void givenUp() throws Failed, IOException, InterruptedException {
    String left = day + "-left";
    expect("order for nobody", pay(left, Map.of("pay_type", "800201", "txamt", "990")), OK);
    expect("closed", call("close", Map.of("out_trade_no", left, "txamt", "990", "txdtm", now())), OK);
    String oops = day + "-oops";
    String code = member(payer("codes", "{\"wallet\": \"wechat\"}"), "auth_code");
    expect("paid by mistake", pay(oops, Map.of("pay_type", "800208", "txamt", "5000", "auth_code", code)), OK);
    expect("reversed", call("reversal", Map.of("out_trade_no", oops, "txamt", "5000", "txdtm", now())), OK);
  }

  /** What the gateway posts to your notify URL. */
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
      merchant.givenUp();
      receiveWebhooks();
    } catch (Failed | IOException problem) {
      System.err.println("first_payment: " + problem.getMessage());
      System.exit(1);
    }
  }
}
