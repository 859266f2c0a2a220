import java.io.ByteArrayInputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;

/** Of the drivers in Java: the authority that the process trusts. */
final class Trust {
    private static final String STORE_PASSWORD = "changeit";

    private Trust() {}

    /** Trusts this authority instead of Java's own, if it is called before the first connection. */
    static void only(String authority) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        ByteArrayInputStream pem = new ByteArrayInputStream(authority.getBytes(StandardCharsets.US_ASCII));
        store.setCertificateEntry("tael", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        Path file = Files.createTempFile("tael", ".p12");
        file.toFile().deleteOnExit();
        try (OutputStream output = Files.newOutputStream(file)) {
            store.store(output, STORE_PASSWORD.toCharArray());
        }
        System.setProperty("javax.net.ssl.trustStore", file.toString());
        System.setProperty("javax.net.ssl.trustStoreType", "PKCS12");
        System.setProperty("javax.net.ssl.trustStorePassword", STORE_PASSWORD);
    }
}
