package reason

import (
	"fmt"

	"culvert/selector"
)

// maxListed bounds the number of selectors that are listed.
const maxListed = 10

// List returns selectors as a text, of which a long list is cut.
func List(list []selector.Selector) string {
	if len(list) == 0 {
		return "none"
	}
	var text string
	for i, s := range list {
		if i == maxListed {
			return text + fmt.Sprintf(" and %d more", len(list)-i)
		}
		if i > 0 {
			text += " "
		}
		text += s.String()
	}
	return text
}
