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
import java.util.Map;
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

  /** A webhook that once came, its X-QF-SIGN, and the key of its app. */
  private static final String WEBHOOK =
      "{\"pay_type\": \"800151\", \"txdtm\": \"2017-06-15 10:21:37\", \"mchid\": \"eqqmYMn0Zj6pncw5ZDxjgMqbzV\", "
          + "\"txamt\": 10, \"respmsg\": \"\", \"out_trade_no\": \"A\", \"syssn\": 201706150902990034076180, "
          + "\"respcd\": \"0000\"}";
  private static final String WEBHOOK_SIGN = "67A4F8CD7C48E6E1900F300D803A0F67";
  private static final String WEBHOOK_KEY = "123456";

  private final HttpClient http = HttpClient.newBuilder().connectTimeout(TIMEOUT).build();
  private final String day = "java-" + System.nanoTime();

  /** Not what this program was told to expect; the message is for whoever runs it. */
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

  /** Members by name, joined as in a request; numbers as they are written, empty ones too. Then the key. */
  static boolean isGenuineWebhook(String body, String sign, String key) {
    Map<String, String> members = new TreeMap<>();
    Matcher each = Pattern.compile("\"(\\w+)\": *(?:\"([^\"]*)\"|([0-9]+))").matcher(body);
    while (each.find()) {
      members.put(each.group(1), each.group(2) != null ? each.group(2) : each.group(3));
    }
    return signature(signedText(members), key).equalsIgnoreCase(sign);
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
    Map<String, String> asked = Map.of("pay_type", "800201", "txamt", "2500", "product_name", "Two cups of tea");
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
  static void toldByWebhook() throws Failed {
    if (!isGenuineWebhook(WEBHOOK, WEBHOOK_SIGN, WEBHOOK_KEY)) {
      throw new Failed("an honest webhook was taken for a forged one");
    }
    if (isGenuineWebhook(WEBHOOK.replace("10,", "11,"), WEBHOOK_SIGN, WEBHOOK_KEY)) {
      throw new Failed("a forged webhook was taken for an honest one");
    }
    System.out.println("webhooks told apart");
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
      toldByWebhook();
    } catch (Failed | IOException problem) {
      System.err.println("first_payment: " + problem.getMessage());
      System.exit(1);
    }
  }
}
