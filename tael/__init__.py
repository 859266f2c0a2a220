"""tael: a self-hosted payment gateway for Alipay and WeChat Pay that speaks QFPay's /trade/v1 API."""
