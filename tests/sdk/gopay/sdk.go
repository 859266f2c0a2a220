package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/go-pay/gopay"
	"github.com/go-pay/gopay/wechat"
	"github.com/go-pay/util"
)

const nonceLength = 32

// start configures a client for production at this address, which is what the SDK's manual calls a proxy.
func start(given settings) (map[string]call, error) {
	client := wechat.NewClient(given.AppID, given.MchID, given.Key, true).SetProxyUrl(given.BaseURL)
	if given.P12 != "" {
		if err := client.AddCertPkcs12FilePath(given.P12); err != nil {
			return nil, err
		}
	}
	ctx := context.Background()
	return map[string]call{
		"UnifiedOrder": signed(func(bm gopay.BodyMap) (any, error) { return client.UnifiedOrder(ctx, bm) }),
		"Micropay":     signed(func(bm gopay.BodyMap) (any, error) { return client.Micropay(ctx, bm) }),
		"CloseOrder":   signed(func(bm gopay.BodyMap) (any, error) { return client.CloseOrder(ctx, bm) }),
		"Reverse":      signed(func(bm gopay.BodyMap) (any, error) { return client.Reverse(ctx, bm) }),
		"DownloadBill": signed(func(bm gopay.BodyMap) (any, error) { return client.DownloadBill(ctx, bm) }),
		"AuthCodeToOpenId": signed(func(bm gopay.BodyMap) (any, error) {
			return client.AuthCodeToOpenId(ctx, bm)
		}),
		"QueryOrder": signed(func(bm gopay.BodyMap) (any, error) {
			_, all, err := client.QueryOrder(ctx, bm)
			return all, err
		}),
		"Refund": signed(func(bm gopay.BodyMap) (any, error) {
			_, all, err := client.Refund(ctx, bm)
			return all, err
		}),
		"QueryRefund": signed(func(bm gopay.BodyMap) (any, error) {
			_, all, err := client.QueryRefund(ctx, bm)
			return all, err
		}),
		"GetJsapiPaySign": read(func(text map[string]string) (any, error) {
			return wechat.GetJsapiPaySign(text["appId"], text["nonceStr"], text["package"], text["signType"],
				text["timeStamp"], given.Key), nil
		}),
		"VerifySign": func(fields json.RawMessage) (any, error) {
			var asked struct {
				Response gopay.BodyMap
				SignType string `json:"sign_type"`
			}
			if err := json.Unmarshal(fields, &asked); err != nil {
				return nil, err
			}
			return verified(given.Key, asked.SignType, asked.Response)
		},
		"ParseNotifyToBodyMap": read(func(text map[string]string) (any, error) {
			bm, err := wechat.ParseNotifyToBodyMap(posted(text["xml"]))
			if err != nil {
				return nil, err
			}
			return verified(given.Key, text["sign_type"], bm)
		}),
		"DecryptRefundNotifyReqInfo": read(func(text map[string]string) (any, error) {
			notice, err := wechat.ParseRefundNotify(posted(text["xml"]))
			if err != nil {
				return nil, err
			}
			return wechat.DecryptRefundNotifyReqInfo(notice.ReqInfo, given.Key)
		}),
	}, nil
}

// signed is a call at the wallet. The SDK's user has to choose the nonce.
func signed(made func(gopay.BodyMap) (any, error)) call {
	return func(fields json.RawMessage) (any, error) {
		bm := make(gopay.BodyMap)
		if err := json.Unmarshal(fields, &bm); err != nil {
			return nil, err
		}
		return made(bm.Set("nonce_str", util.RandomString(nonceLength)))
	}
}

// read is a function of the SDK that calls nobody.
func read(made func(map[string]string) (any, error)) call {
	return func(fields json.RawMessage) (any, error) {
		text := make(map[string]string)
		if err := json.Unmarshal(fields, &text); err != nil {
			return nil, err
		}
		return made(text)
	}
}

func verified(key, signType string, bm gopay.BodyMap) (any, error) {
	genuine, err := wechat.VerifySign(key, signType, bm)
	if err == nil && !genuine {
		err = errors.New("the signature is wrong")
	}
	return bm, err
}

func posted(xml string) *http.Request {
	return &http.Request{Body: io.NopCloser(strings.NewReader(xml))}
}
