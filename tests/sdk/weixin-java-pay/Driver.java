import com.github.binarywang.wxpay.bean.request.BaseWxPayRequest;
import com.github.binarywang.wxpay.bean.request.WxPayDownloadBillRequest;
import com.github.binarywang.wxpay.bean.request.WxPayMicropayRequest;
import com.github.binarywang.wxpay.bean.request.WxPayOrderCloseRequest;
import com.github.binarywang.wxpay.bean.request.WxPayOrderQueryRequest;
import com.github.binarywang.wxpay.bean.request.WxPayOrderReverseRequest;
import com.github.binarywang.wxpay.bean.request.WxPayRefundQueryRequest;
import com.github.binarywang.wxpay.bean.request.WxPayRefundRequest;
import com.github.binarywang.wxpay.bean.request.WxPayUnifiedOrderRequest;
import com.github.binarywang.wxpay.bean.result.BaseWxPayResult;
import com.github.binarywang.wxpay.config.WxPayConfig;
import com.github.binarywang.wxpay.exception.WxPayException;
import com.github.binarywang.wxpay.service.WxPayService;
import com.github.binarywang.wxpay.service.impl.WxPayServiceImpl;
import com.google.gson.FieldNamingPolicy;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/**
 * Calls weixin-java-pay as requested by lines of JSON. The first line has the authority to trust; each later line has a
 * method of WxPayService, the fields of its request, and among them the settings of the client that makes it: a JVM starts
 * slowly, so one has all clients. The response is a line with the result or the exception.
 */
public final class Driver {
    private static final Gson JSON =
            new GsonBuilder().setFieldNamingPolicy(FieldNamingPolicy.LOWER_CASE_WITH_UNDERSCORES).create();

    private static final Map<JsonObject, Driver> CLIENTS = new HashMap<>();

    private final WxPayService wallet = new WxPayServiceImpl();

    private Driver(JsonObject settings) {
        WxPayConfig config = new WxPayConfig();
        config.setPayBaseUrl(settings.get("base_url").getAsString());
        config.setAppId(settings.get("appid").getAsString());
        config.setMchId(settings.get("mch_id").getAsString());
        config.setSubAppId(settings.get("sub_appid").getAsString());
        config.setSubMchId(settings.get("sub_mch_id").getAsString());
        config.setMchKey(settings.get("key").getAsString());
        if (settings.has("p12")) {
            config.setKeyPath(settings.get("p12").getAsString());
        }
        wallet.setConfig(config);
    }

    private interface Call<Request> {
        Object make(Request request) throws WxPayException;
    }

    private Object answer(String name, JsonObject fields) throws WxPayException {
        switch (name) {
            case "createOrder":
                return with(WxPayUnifiedOrderRequest.class, fields, wallet::<Object>createOrder);
            case "unifiedOrder":
                return with(WxPayUnifiedOrderRequest.class, fields, wallet::unifiedOrder);
            case "micropay":
                return with(WxPayMicropayRequest.class, fields, wallet::micropay);
            case "queryOrder":
                return with(WxPayOrderQueryRequest.class, fields, wallet::queryOrder);
            case "closeOrder":
                return with(WxPayOrderCloseRequest.class, fields, wallet::closeOrder);
            case "reverseOrder":
                return with(WxPayOrderReverseRequest.class, fields, wallet::reverseOrder);
            case "refund":
                return with(WxPayRefundRequest.class, fields, wallet::refund);
            case "refundQuery":
                return with(WxPayRefundQueryRequest.class, fields, wallet::refundQuery);
            case "downloadBill":
                return with(WxPayDownloadBillRequest.class, fields, wallet::downloadBill);
            case "authcode2Openid":
                return wallet.authcode2Openid(fields.get("auth_code").getAsString());
            case "shorturl":
                return wallet.shorturl(fields.get("long_url").getAsString());
            case "parseOrderNotifyResult":
                return wallet.parseOrderNotifyResult(
                        fields.get("xml").getAsString(), fields.get("sign_type").getAsString());
            case "parseRefundNotifyResult":
                return wallet.parseRefundNotifyResult(fields.get("xml").getAsString()).getReqInfo();
            default:
                throw new IllegalArgumentException(name);
        }
    }

    private static <R extends BaseWxPayRequest> Object with(Class<R> type, JsonObject fields, Call<R> call)
            throws WxPayException {
        return call.make(JSON.fromJson(fields, type));
    }

    private static Map<String, Object> response(String name, JsonObject fields) {
        Map<String, Object> line = new HashMap<>();
        line.put("call", name);
        try {
            Driver client = CLIENTS.computeIfAbsent(fields.getAsJsonObject("settings"), Driver::new);
            Object result = client.answer(name, fields);
            line.put("answer", result instanceof BaseWxPayResult ? ((BaseWxPayResult) result).toMap() : result);
        } catch (Exception raised) {
            line.put("raised", raised.getClass().getSimpleName());
            line.put("message", String.valueOf(raised.getMessage()));
        }
        return line;
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream results = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err);
        JsonObject trusted = JsonParser.parseString(lines.readLine()).getAsJsonObject();
        if (trusted.has("ca_pem")) {
            Trust.only(trusted.get("ca_pem").getAsString());
        }
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonObject request = JsonParser.parseString(line).getAsJsonObject();
            String name = request.get("call").getAsString();
            results.println(JSON.toJson(response(name, request.getAsJsonObject("fields"))));
        }
    }
}
