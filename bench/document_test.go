package bench

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestDocumentSurvivesJSON(t *testing.T) {
	d := sample()
	var b bytes.Buffer
	if err := d.Encode(&b); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"gbit_per_s", "vpn_cpu_s_per_gb", "p99_us", "cpu_flags", "measurements", "median"} {
		if !strings.Contains(b.String(), `"`+key+`"`) {
			t.Errorf("no %q in the JSON", key)
		}
	}
	got, err := Decode(&b)
	if err != nil || !reflect.DeepEqual(got, d) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, d)
	}
	for _, bad := range []string{"", "[]", `{"schema": 2}`, `{"schema": 1, "rounds": "x"}`} {
		if _, err := Decode(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
