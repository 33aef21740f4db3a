package requester_test

import (
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/requester"
)

func TestParseTarget_IsCanonical(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"plain", "https://api.example.com/v1/x?a=1", "https://api.example.com/v1/x?a=1"},
		{"upper case", "HTTPS://API.Example.COM/V1", "https://api.example.com/V1"},
		{"default port", "https://api.example.com:443/", "https://api.example.com/"},
		{"default port of http", "http://api.example.com:80/", "http://api.example.com/"},
		{"the other's port", "http://api.example.com:443/", "http://api.example.com:443/"},
		{"port with zeros", "http://api.example.com:0080/", "http://api.example.com/"},
		{"empty port", "https://api.example.com:/x", "https://api.example.com/x"},
		{"trailing dot", "https://api.example.com./x", "https://api.example.com/x"},
		{"fragment", "https://api.example.com/x#top", "https://api.example.com/x"},
		{"international", "https://Bücher.example/", "https://xn--bcher-kva.example/"},
		{"ideographic dot", "https://api。example。com/", "https://api.example.com/"},
		{"full width", "https://ａｐｉ.example.com/", "https://api.example.com/"},
		{"underscore", "https://my_bucket.example.com/", "https://my_bucket.example.com/"},
		{"address", "http://192.0.2.1:8080/", "http://192.0.2.1:8080/"},
		{"address with dot", "http://192.0.2.1./", "http://192.0.2.1/"},
		{"address 6", "http://[2001:DB8:0:0::1]:80/", "http://[2001:db8::1]/"},
		{"mapped address", "http://[::ffff:192.0.2.1]/", "http://192.0.2.1/"},
		{"escaped path stays", "https://h.example/a%2Fb/c%20d", "https://h.example/a%2Fb/c%20d"},
		{"escaped query stays", "https://h.example/?$filter=a%20eq%20'b'&x[]=1", "https://h.example/?$filter=a%20eq%20'b'&x[]=1"},
		{"raw letters are escaped", "https://h.example/é?ü=1", "https://h.example/%C3%A9?%C3%BC=1"},
		{"at sign in the path", "https://h.example/@me", "https://h.example/@me"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := requester.ParseTarget(c.in)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestParseTarget_RefusesWhatTwoParsersReadDifferently(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", "/", "//api.example.com/", "api.example.com", "https:", "https://", "https:///x", "https:/api.example.com", "https:api.example.com", "https://:443/", "https://?x",
		"ftp://api.example.com/", "file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "javascript:alert(1)", "ws://api.example.com/", "unix:///run/x.sock",
		"https://user@api.example.com/", "https://user:pw@api.example.com/", "https://@api.example.com/", "https://:@api.example.com/",
		"https://api.example.com@evil.example/", "https://api.example.com:443@evil.example/", "https://api.example.com%40evil.example/",
		`https://api.example.com\@evil.example/`, `https://evil.example\.api.example.com/`, `https:\\evil.example/`, `https://api.example.com/\evil`, `https://api.example.com/?\`,
		"https://api.example.com /", " https://api.example.com/", "https://api.example.com/\n", "https://api.example.com/a b", "https://api.example.com/?a b", "https://api.exa\tmple.com/", "https://api.example.com/\x00", "https://api.example.com/\x7f",
		"https://api.example.com:0/", "https://api.example.com:65536/", "https://api.example.com:-1/", "https://api.example.com:http/", "https://api.example.com:80:80/", "https://api.example.com:000443/",
		"https://.example.com/", "https://api..example.com/", "https://api.example.com../", "https://-api.example.com/", "https://api-.example.com/", "https://api,example.com/", "https://*.example.com/", "https://api.example.com%2eevil.example/", "https://api.example.com%00/",
		"https://[::1/", "https://::1/", "https://[127.0.0.1]/", "https://[fe80::1%25eth0]/", "https://[fe80::1%eth0]/", "https://[::1]evil.example/", "https://[v1.x]/", "https://[]/",
		"https://" + strings.Repeat("a", 64) + ".example/", "https://" + strings.Repeat("a.", 127) + "example/", "https://h.example/" + strings.Repeat("a", 17<<10),
		"https://xn--/\xff", "https://\xff.example/", "https://h.example/%zz", "https://ex\u00adample\u200b.com:x/", "https://\u202eapi.example.com/",
	} {
		target, err := requester.ParseTarget(in)
		if !fault.Is(err, fault.Invalid) || fault.SideOf(err) != fault.Guest {
			t.Errorf("%q: got %v, %v", in, target, err)
		}
	}
}

func TestParseTarget_FaultNeverQuotesTheURL(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"https://h.example/%zz?key=s3cr3t-value", "https://u:s3cr3t-value@h.example/", "https://h.example/?key=s3cr3t-value x", "s3cr3t-value://h/", "https://h:s3cr3t-value/"} {
		_, err := requester.ParseTarget(in)
		if err == nil || strings.Contains(err.Error(), "s3cr3t-value") {
			t.Errorf("%q: %v", in, err)
		}
	}
}
