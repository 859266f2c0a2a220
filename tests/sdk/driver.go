// Calls an SDK as requested by lines of JSON. The first line has the settings, from which `start` of the SDK's own
// sdk.go makes its calls by name; each later line has a call and its fields. The response is a line with the result or
// the error.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

const maxLineBytes = 1 << 20

type settings struct {
	BaseURL string `json:"base_url"`
	AppID   string `json:"appid"`
	MchID   string `json:"mch_id"`
	Key     string `json:"key"`
	P12     string `json:"p12"` // the path of the client certificate; empty: none
}

type call func(fields json.RawMessage) (any, error)

type request struct {
	Call   string          `json:"call"`
	Fields json.RawMessage `json:"fields"`
}

func answer(calls map[string]call, asked request) map[string]any {
	made, known := calls[asked.Call]
	if !known {
		return map[string]any{"call": asked.Call, "raised": "UnknownCall", "message": asked.Call}
	}
	result, err := made(asked.Fields)
	if err != nil {
		return map[string]any{"call": asked.Call, "raised": fmt.Sprintf("%T", err), "message": err.Error()}
	}
	return map[string]any{"call": asked.Call, "answer": result}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, maxLineBytes)
	lines.Scan()
	var given settings
	check(json.Unmarshal(lines.Bytes(), &given))
	calls, err := start(given)
	check(err)
	results := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked request
		check(json.Unmarshal(lines.Bytes(), &asked))
		check(results.Encode(answer(calls, asked)))
	}
	check(lines.Err())
}
