package frigg

import "iter"

// Page is a part of a list. Methods that list answer with one.
type Page[T any] struct {
	Items []T `json:"items"`
	// Next is the cursor of the next page, empty on the last.
	Next string `json:"next,omitempty"`
}

// Each walks a list page by page. Fetch gets an empty cursor first, then the Next of the page before. The walk ends with the
// first error, which is handed out once; a Next that leads back to the same page is one.
//
//	for issue, err := range frigg.Each(fetch) {
//		if err != nil {
//			return err
//		}
//	}
func Each[T any](fetch func(cursor string) (Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		for cursor := ""; ; {
			page, err := fetch(cursor)
			if err != nil {
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			switch page.Next {
			case "":
				return
			case cursor:
				yield(none, Unavailable("the list does not move on: the next page is the same page"))
				return
			}
			cursor = page.Next
		}
	}
}

// EachOffset walks a list that is asked for by offset, until a page is empty or total items came. A total below zero means
// that the vendor does not say.
func EachOffset[T any](fetch func(offset int) (items []T, total int, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for offset := 0; ; {
			items, total, err := fetch(offset)
			if !hand(yield, items, err) {
				return
			}
			offset += len(items)
			if len(items) == 0 || total >= 0 && offset >= total {
				return
			}
		}
	}
}

// EachNumbered walks a list that is asked for by page number, from 1, while more is true and pages are not empty.
func EachNumbered[T any](fetch func(page int) (items []T, more bool, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for page := 1; ; page++ {
			items, more, err := fetch(page)
			if !hand(yield, items, err) || !more || len(items) == 0 {
				return
			}
		}
	}
}

// hand yields items or the error, and reports whether the walk goes on.
func hand[T any](yield func(T, error) bool, items []T, err error) bool {
	if err != nil {
		var none T
		yield(none, err)
		return false
	}
	for _, item := range items {
		if !yield(item, nil) {
			return false
		}
	}
	return true
}

// Collect gathers at most limit items of a walk.
func Collect[T any](walk iter.Seq2[T, error], limit int) ([]T, error) {
	items := []T{}
	for item, err := range walk {
		if err != nil {
			return nil, err
		}
		if len(items) == limit {
			break
		}
		items = append(items, item)
	}
	return items, nil
}
