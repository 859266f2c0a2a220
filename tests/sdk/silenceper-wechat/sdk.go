package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"strings"

	"github.com/silenceper/wechat/v2/pay"
	"github.com/silenceper/wechat/v2/pay/config"
	"github.com/silenceper/wechat/v2/pay/notify"
	"github.com/silenceper/wechat/v2/pay/order"
	"github.com/silenceper/wechat/v2/pay/refund"
	"github.com/silenceper/wechat/v2/util"
)

const wallet = "https://api.mch.weixin.qq.com"

// start replaces the wallet's address, as the SDK's URI modifier is for.
func start(given settings) (map[string]call, error) {
	util.SetURIModifier(func(uri string) string { return strings.Replace(uri, wallet, given.BaseURL, 1) })
	shop := pay.NewPay(&config.Config{AppID: given.AppID, MchID: given.MchID, Key: given.Key})
	notices := shop.GetNotify()
	return map[string]call{
		"PrePayOrder": with(func(p *order.Params) (any, error) { return shop.GetOrder().PrePayOrder(p) }),
		"BridgeConfig": with(func(p *order.Params) (any, error) {
			return shop.GetOrder().BridgeConfig(p)
		}),
		"BridgeAppConfig": with(func(p *order.Params) (any, error) {
			return shop.GetOrder().BridgeAppConfig(p)
		}),
		"QueryOrder": with(func(p *order.QueryParams) (any, error) { return shop.GetOrder().QueryOrder(p) }),
		"CloseOrder": with(func(p *order.CloseParams) (any, error) { return shop.GetOrder().CloseOrder(p) }),
		"Refund": with(func(p *refund.Params) (any, error) {
			p.RootCa = given.P12
			return shop.GetRefund().Refund(p)
		}),
		"PaidVerifySign": with(func(text *notice) (any, error) {
			var paid notify.PaidResult
			if err := xml.Unmarshal([]byte(text.XML), &paid); err != nil {
				return nil, err
			}
			if !notices.PaidVerifySign(paid) {
				return nil, errors.New("the signature is wrong")
			}
			return paid, nil
		}),
		"DecryptReqInfo": with(func(text *notice) (any, error) {
			var refunded notify.RefundedResult
			if err := xml.Unmarshal([]byte(text.XML), &refunded); err != nil {
				return nil, err
			}
			return notices.DecryptReqInfo(&refunded)
		}),
	}, nil
}

type notice struct{ XML string }

func with[Params any](made func(*Params) (any, error)) call {
	return func(fields json.RawMessage) (any, error) {
		params := new(Params)
		if err := json.Unmarshal(fields, params); err != nil {
			return nil, err
		}
		return made(params)
	}
}
