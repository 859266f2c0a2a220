"""tael: a self-hosted payment gateway for Alipay and WeChat Pay with QFPay's /trade/v1 API."""
