package aesmode

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// vectors returns the lines of a file of vectors, each as its fields; "-" is an empty one.
func vectors(t *testing.T, file string, want int) (list [][]string) {
	t.Helper()
	all, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(all)) {
		if !strings.HasPrefix(line, "#") {
			list = append(list, strings.Fields(line))
		}
	}
	if len(list) != want {
		t.Fatalf("%s has %d vectors, want %d", file, len(list), want)
	}
	return list
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	if text == "-" {
		return nil
	}
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// octets returns n octets, no two alike nearby.
func octets(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*13 + i>>8)
	}
	return b
}
