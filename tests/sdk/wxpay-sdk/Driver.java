import com.github.wxpay.sdk.WXPay;
import com.github.wxpay.sdk.WXPayConfig;
import com.github.wxpay.sdk.WXPayConstants.SignType;
import com.github.wxpay.sdk.WXPayUtil;
import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;

/**
 * Calls wxpay-sdk as requested by lines of JSON. The first line has the port of the proxy and the authority to trust; each
 * later line has a method of WXPay, the fields of its request, and among them the settings of the client that makes it.
 * The response is a line with the result or the exception.
 */
public final class Driver {
    private static final int LIMIT_MS = 20_000;

    private record Config(JsonObject settings) implements WXPayConfig {
        @Override
        public String getAppID() {
            return settings.get("appid").getAsString();
        }

        @Override
        public String getMchID() {
            return settings.get("mch_id").getAsString();
        }

        @Override
        public String getKey() {
            return settings.get("key").getAsString();
        }

        @Override
        public InputStream getCertStream() {
            if (!settings.has("cert_p12_base64")) {
                return null;
            }
            String text = settings.get("cert_p12_base64").getAsString();
            return new ByteArrayInputStream(Base64.getDecoder().decode(text));
        }

        @Override
        public int getHttpConnectTimeoutMs() {
            return LIMIT_MS;
        }

        @Override
        public int getHttpReadTimeoutMs() {
            return LIMIT_MS;
        }
    }

    private static Map<String, String> answer(String name, JsonObject given) throws Exception {
        Map<String, String> fields = new HashMap<>();
        for (Map.Entry<String, JsonElement> field : given.entrySet()) {
            if (field.getValue().isJsonPrimitive()) {
                fields.put(field.getKey(), field.getValue().getAsString());
            }
        }
        SignType signType = "HMAC-SHA256".equals(fields.remove("sign_type")) ? SignType.HMACSHA256 : SignType.MD5;
        WXPay wallet = new WXPay(new Config(given.getAsJsonObject("settings")), signType);
        switch (name) {
            case "unifiedOrder":
                return wallet.unifiedOrder(fields);
            case "microPay":
                return wallet.microPay(fields);
            case "orderQuery":
                return wallet.orderQuery(fields);
            case "closeOrder":
                return wallet.closeOrder(fields);
            case "reverse":
                return wallet.reverse(fields);
            case "refund":
                return wallet.refund(fields);
            case "refundQuery":
                return wallet.refundQuery(fields);
            case "downloadBill":
                return wallet.downloadBill(fields);
            case "authCodeToOpenid":
                return wallet.authCodeToOpenid(fields);
            case "isPayResultNotifySignatureValid":
                Map<String, String> notice = WXPayUtil.xmlToMap(fields.get("xml"));
                if (!wallet.isPayResultNotifySignatureValid(notice)) {
                    throw new IllegalArgumentException("the signature is wrong");
                }
                return notice;
            default:
                throw new IllegalArgumentException(name);
        }
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream results = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err);
        JsonObject network = JsonParser.parseString(lines.readLine()).getAsJsonObject();
        System.setProperty("https.proxyHost", "127.0.0.1");
        System.setProperty("https.proxyPort", network.get("proxy_port").getAsString());
        if (network.has("ca_pem")) {
            Trust.only(network.get("ca_pem").getAsString());
        }
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonObject request = JsonParser.parseString(line).getAsJsonObject();
            String name = request.get("call").getAsString();
            Map<String, Object> response = new HashMap<>();
            response.put("call", name);
            try {
                response.put("answer", answer(name, request.getAsJsonObject("fields")));
            } catch (Exception raised) {
                response.put("raised", raised.getClass().getSimpleName());
                response.put("message", String.valueOf(raised.getMessage()));
            }
            results.println(new Gson().toJson(response));
        }
    }
}
