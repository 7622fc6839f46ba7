package ike

import (
	"bytes"
	"reflect"
	"testing"
	"time"
)

// finder looks through memory for octets that must not be in it.
type finder struct {
	want  [][]byte
	seen  map[memory]bool
	found []string // where they are
	bytes int      // that were looked at
}

type memory struct {
	at   uintptr
	kind reflect.Type
	size int
}

// known reports whether the memory that v refers to was looked at.
func (f *finder) known(v reflect.Value, size int) bool {
	m := memory{v.Pointer(), v.Type(), size}
	was := f.seen[m]
	f.seen[m] = true
	return was
}

// look looks at v and all that it refers to, but for the test's own world.
func (f *finder) look(v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		switch v.Type() {
		case reflect.TypeFor[*testPlane](), reflect.TypeFor[*testPair](), reflect.TypeFor[*testSide]():
			return
		}
		if !v.IsNil() && !f.known(v, 0) {
			f.look(v.Elem(), path)
		}
	case reflect.Interface:
		if !v.IsNil() {
			f.look(v.Elem(), path)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f.look(v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			f.look(it.Key(), path+"[key]")
			f.look(it.Value(), path+"[]")
		}
	case reflect.Array, reflect.Slice:
		f.lookList(v, path)
	}
}

func (f *finder) lookList(v reflect.Value, path string) {
	if v.Kind() == reflect.Slice {
		v = v.Slice(0, v.Cap()) // what is behind its end is memory, too
		if v.Cap() == 0 || f.known(v, v.Cap()) {
			return
		}
	}
	if v.Type().Elem().Kind() != reflect.Uint8 {
		for i := range v.Len() {
			f.look(v.Index(i), path+"[]")
		}
		return
	}
	octets := make([]byte, v.Len())
	for i := range octets {
		octets[i] = byte(v.Index(i).Uint())
	}
	f.bytes += len(octets)
	for _, w := range f.want {
		if bytes.Contains(octets, w) {
			f.found = append(f.found, path)
		}
	}
}

// TestEngineKeepsNoChildKeys: after a Child SA was handed to the dataplane its keys are nowhere in
// the engine, made with or without a key exchange, by either side, first or rekeyed.
func TestEngineKeepsNoChildKeys(t *testing.T) {
	p := newPair(t, 1, withPFS)
	ref := p.left.connect("lan")
	p.drive(2 * time.Second)
	p.wantDone(p.left, ref, "")
	for _, s := range []*testSide{p.left, p.right} {
		ref := s.rekey("lan")
		p.drive(2 * time.Second)
		p.wantDone(s, ref, "")
	}
	for _, s := range []*testSide{p.left, p.right} {
		f := finder{seen: map[memory]bool{}}
		for key := range p.keys {
			f.want = append(f.want, []byte(key)[:16])
		}
		if len(f.want) < 6 {
			t.Fatalf("%d keys were installed", len(f.want))
		}
		f.look(reflect.ValueOf(s.e), "engine")
		if len(f.found) > 0 {
			t.Errorf("%s: keys of Child SAs at %q", s.name, f.found)
		}
		// It does find what is there: SK_d.
		f = finder{seen: map[memory]bool{}, want: [][]byte{s.e.peers.order[0].party.sas[0].keys.keys.D}}
		if f.look(reflect.ValueOf(s.e), "engine"); len(f.found) == 0 {
			t.Errorf("%s: SK_d is not found in %d octets", s.name, f.bytes)
		}
	}
}
