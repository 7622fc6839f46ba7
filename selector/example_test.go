package selector_test

import (
	"fmt"

	"culvert/selector"
)

// A responder narrows what the initiator proposes to what its own policy allows.
func ExampleNarrow() {
	parse := func(texts ...string) (list []selector.Selector) {
		for _, text := range texts {
			s, err := selector.ParseSelector(text)
			if err != nil {
				panic(err)
			}
			list = append(list, s)
		}
		return list
	}
	policy := parse("10.1.0.0/16 tcp", "10.1.7.0/24 udp/53")
	fmt.Println(selector.Narrow(parse("10.1.7.9 tcp/443", "10.1.7.0/24"), policy))
	fmt.Println(selector.Narrow(parse("192.0.2.0/24"), policy) == nil) // TS_UNACCEPTABLE
	// Output:
	// [10.1.7.0/24 tcp 10.1.7.0/24 udp/53]
	// true
}
