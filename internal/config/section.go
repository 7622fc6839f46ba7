package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A section is one table of a file, with typed access to its keys. A value of a wrong type is
// reported once, when the section is opened, and reads as absent afterwards.
type section struct {
	file   *file
	path   string // in the file's lineIndex
	where  string // `peer "right": `, for errors
	values map[string]any
}

// open checks the table's keys and the types of their values against the schema.
func open(f *file, path, where string, values map[string]any, keys []key) section {
	s := section{file: f, path: path, where: where, values: map[string]any{}}
	for name, value := range values {
		k, ok := find(keys, name)
		switch {
		case !ok:
			s.fail(name, "%s", unknownKey(name, keys))
		case k.kind == tables && hasKind(value, table):
			at := join(path, name)
			s.fail(name, "write [[%s]] in place of [%s]: there may be several", tableName(at), tableName(at))
		case !hasKind(value, k.kind):
			s.fail(name, "%s must be %s", name, k.kind)
		default:
			s.values[name] = value
		}
	}
	return s
}

func unknownKey(name string, keys []key) string {
	if meant := foreignKey(name, keys); meant != "" {
		return fmt.Sprintf("unknown key %q: here it is %q", name, meant)
	}
	if near := nearest(name, names(keys)); near != "" {
		return fmt.Sprintf("unknown key %q: did you mean %q?", name, near)
	}
	return fmt.Sprintf("unknown key %q; the keys of this table are %s", name, strings.Join(names(keys), ", "))
}

// tableName returns the name of a table at a path of the lineIndex, as its header has it.
func tableName(path string) string {
	var words []string
	for part := range strings.SplitSeq(path, ".") {
		name, _, _ := strings.Cut(part, "[")
		words = append(words, name)
	}
	return strings.Join(words, ".")
}

func hasKind(value any, k kind) bool {
	if k == textOrList {
		return hasKind(value, text) || hasKind(value, list)
	}
	switch v := value.(type) {
	case string:
		return k == text
	case int64:
		return k == number || k == decimal
	case float64:
		return k == decimal
	case map[string]any:
		return k == table
	case []map[string]any:
		return k == tables || k == list && len(v) == 0
	case []any:
		return k == tables && !slices.ContainsFunc(v, func(e any) bool { _, ok := e.(map[string]any); return !ok }) ||
			k == list && !slices.ContainsFunc(v, func(e any) bool { _, ok := e.(string); return !ok })
	}
	return false
}

// fail reports an error at the line of the key, or at that of its table if the key is absent.
func (s section) fail(name, format string, args ...any) {
	s.file.fail(s.line(name), "%s%s", s.where, fmt.Sprintf(format, args...))
}

func (s section) line(name string) int {
	if line, ok := s.file.lines[join(s.path, name)]; ok {
		return line
	}
	return s.file.lines[s.path]
}

func (s section) has(name string) bool { _, ok := s.values[name]; return ok }

// text returns the key's value, or def if it is absent.
func (s section) text(name, def string) string {
	if v, ok := s.values[name].(string); ok {
		return v
	}
	return def
}

// number returns the key's value, which must lie between lo and hi, or def.
func (s section) number(name string, def, lo, hi int64) int64 {
	v, ok := s.values[name].(int64)
	if !ok {
		return def
	}
	if v < lo || v > hi {
		s.fail(name, "%s = %d is out of range; use %d to %d", name, v, lo, hi)
		return def
	}
	return v
}

// fraction returns the key's value, a number with or without a fraction.
func (s section) fraction(name string, def, lo, hi float64) float64 {
	v, ok := s.values[name].(float64)
	if n, whole := s.values[name].(int64); whole {
		v, ok = float64(n), true
	}
	if !ok {
		return def
	}
	if !(v >= lo && v <= hi) { // NaN as well
		s.fail(name, "%s = %v is out of range; use %v to %v", name, v, lo, hi)
		return def
	}
	return v
}

// An element is one element of a list, with the key of its line.
type element struct{ text, at string }

func (s section) list(name string) []element {
	values, _ := s.values[name].([]any)
	out := make([]element, len(values))
	for i, v := range values {
		out[i] = element{v.(string), fmt.Sprintf("%s[%d]", name, i)}
	}
	return out
}

// subtable opens a table within this one. An absent table is empty.
func (s section) subtable(name string, keys []key) section {
	values, _ := s.values[name].(map[string]any)
	return open(s.file, join(s.path, name), s.where+name+": ", values, keys)
}

// subtables returns the values of the tables in an array of tables.
func (s section) subtables(name string) []map[string]any {
	switch v := s.values[name].(type) {
	case []map[string]any:
		return v
	case []any:
		out := make([]map[string]any, len(v))
		for i := range v {
			out[i] = v[i].(map[string]any)
		}
		return out
	}
	return nil
}

// word returns the index of the key's value in words, the first of which is the default.
func (s section) word(name string, words ...string) int {
	v, ok := s.values[name].(string)
	if !ok {
		return 0
	}
	i := slices.Index(words, v)
	switch meant := foreignValue(v, words); {
	case i >= 0:
	case meant != "":
		s.fail(name, "%s = %q is not valid: here it is %q; the words are %s", name, v, meant, strings.Join(words, ", "))
		return 0
	default:
		s.fail(name, "%s = %q is not valid; use one of %s", name, v, strings.Join(words, ", "))
		return 0
	}
	return i
}

// duration returns the key's value, or def. It must be at least lo, or zero if zero is allowed.
func (s section) duration(name string, def, lo time.Duration, zero bool) time.Duration {
	v, ok := s.values[name].(string)
	if !ok {
		return def
	}
	d, err := time.ParseDuration(strings.ReplaceAll(v, " ", ""))
	switch {
	case err != nil:
		s.fail(name, "%s = %q is not a duration; use for example \"8h\", \"1h30m\" or \"30s\"", name, v)
	case d == 0 && zero:
		return 0
	case d < lo:
		s.fail(name, "%s = %q is too short; use at least %s", name, v, lo)
	case d > maxDuration:
		s.fail(name, "%s = %q is too long; use at most %s", name, v, maxDuration)
	default:
		return d
	}
	return def
}

const maxDuration = 10 * 365 * 24 * time.Hour

// sizeUnits are the units of amounts of data: powers of ten, and of two.
var sizeUnits = []struct {
	suffix string
	factor uint64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// size returns the key's value in octets, or 0 if it is absent or empty.
func (s section) size(name string) uint64 {
	v := s.text(name, "")
	if v == "" {
		return 0
	}
	for _, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(v, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 64)
		if err != nil || n > maxSize/unit.factor {
			break
		}
		return n * unit.factor
	}
	s.fail(name, "%s = %q is not an amount of data; use for example \"500MB\", \"10GB\" or \"1GiB\"", name, v)
	return 0
}

const maxSize = 1 << 62
