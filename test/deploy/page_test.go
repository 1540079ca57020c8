package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

var fences = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// blocks are the page's fenced blocks in one language.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	var found []string
	for _, m := range fences.FindAllStringSubmatch(read(t, "docs", "DEPLOY.md"), -1) {
		if m[1] == language {
			found = append(found, m[2])
		}
	}
	return found
}

// pageFiles lays the page's YAML where its first line says, beside a copy of what
// is in deploy/kubernetes.
func pageFiles(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "deploy", "kubernetes"), os.DirFS(filepath.Join(root, "deploy", "kubernetes"))); err != nil {
		t.Fatal(err)
	}
	for _, block := range blocks(t, "yaml") {
		first, rest, _ := strings.Cut(block, "\n")
		name, ok := strings.CutPrefix(first, "# ")
		if !ok {
			t.Fatalf("the page has YAML of no file:\n%s", block)
		}
		write(t, filepath.Join(dir, name), []byte(rest))
	}
	write(t, filepath.Join(dir, "deploy/kubernetes/overlays/library/library.binpb"), libraryImage(t))
	return dir
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// libraryImage is a contract such as `buf build -o` writes.
func libraryImage(t *testing.T) []byte {
	t.Helper()
	message := func(name string) *descriptorpb.DescriptorProto {
		return &descriptorpb.DescriptorProto{Name: &name, Field: []*descriptorpb.FieldDescriptorProto{{
			Name: new("name"), Number: new(int32(1)),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
		}}}
	}
	image, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: new("library/v1/library.proto"), Package: new("library.v1"), Syntax: new("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{message("GetBookRequest"), message("Book")},
		Service: []*descriptorpb.ServiceDescriptorProto{{
			Name: new("LibraryService"),
			Method: []*descriptorpb.MethodDescriptorProto{{
				Name: new("GetBook"), InputType: new(".library.v1.GetBookRequest"), OutputType: new(".library.v1.Book"),
			}},
		}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// overlayOf builds one of the page's overlays. What is not Kubernetes' own is left
// to the caller.
func overlayOf(t *testing.T, dir, name string) (all objects, foreign []map[string]any) {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(dir, "deploy/kubernetes/overlays", name))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range built.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		if r.GetGvk().Group == "cert-manager.io" {
			var o map[string]any
			if err := yaml.UnmarshalStrict(text, &o); err != nil {
				t.Fatal(err)
			}
			foreign = append(foreign, o)
			continue
		}
		all = append(all, decode(t, text))
	}
	return all, foreign
}

func TestPageOfYourService(t *testing.T) {
	dir := pageFiles(t)
	list, _ := overlayOf(t, dir, "library")
	d := deployment(t, list, "gatehouse")
	config := one[*corev1.ConfigMap](t, list, d.Spec.Template.Spec.Volumes[0].ConfigMap.Name)
	if len(config.BinaryData["library.binpb"]) == 0 {
		t.Errorf("the contract is not in the ConfigMap, which has %v", config.Data)
	}
	checkMounted(t, list, "gatehouse")
}

// checkMounted checks the configuration that pods are given, with the files beside
// it that they are given.
func checkMounted(t *testing.T, list objects, name string) {
	t.Helper()
	d := deployment(t, list, name)
	config := one[*corev1.ConfigMap](t, list, d.Spec.Template.Spec.Volumes[0].ConfigMap.Name)
	dir := t.TempDir()
	for file, content := range config.BinaryData {
		write(t, filepath.Join(dir, file), content)
	}
	check(t, dir, strings.ReplaceAll(config.Data["gatehouse.yaml"], "/etc/gatehouse-tls", dir+"/tls"))
}

func TestPageOfCertificates(t *testing.T) {
	dir := pageFiles(t)
	list, foreign := overlayOf(t, dir, "library-tls")
	if len(foreign) != 1 || foreign[0]["kind"] != "Certificate" {
		t.Fatalf("certificates: %v", foreign)
	}
	d := deployment(t, list, "gatehouse")
	var secret, mounted string
	for _, v := range d.Spec.Template.Spec.Volumes {
		if v.Secret != nil {
			secret = v.Secret.SecretName
			for _, m := range container(t, d).VolumeMounts {
				if m.Name == v.Name {
					mounted = m.MountPath
				}
			}
		}
	}
	if want := foreign[0]["spec"].(map[string]any)["secretName"]; secret != want {
		t.Errorf("secret %q is mounted, the certificate is in %q", secret, want)
	}
	text := configuration(t, list)
	if strings.Count(text, mounted+"/tls.crt") != 2 || strings.Count(text, mounted+"/tls.key") != 2 {
		t.Errorf("the configuration does not use %s:\n%s", mounted, text)
	}
	if container(t, d).Ports[2].ContainerPort != 9901 || len(container(t, d).VolumeMounts) != 2 {
		t.Errorf("the patch took something away: %+v", container(t, d))
	}
	checkWithCertificate(t, list)
}

func TestPageOfCanaryAndGreen(t *testing.T) {
	dir := pageFiles(t)
	stable, _ := overlayOf(t, dir, "library")
	for _, track := range []string{"canary", "green"} {
		list, _ := overlayOf(t, dir, track)
		d := deployment(t, list, "gatehouse-"+track)
		if matches(t, d.Spec.Selector, deployment(t, stable, "gatehouse").Spec.Template) {
			t.Errorf("%s takes the pods of the stable Deployment for its own", track)
		}
		if matches(t, deployment(t, stable, "gatehouse").Spec.Selector, d.Spec.Template) {
			t.Errorf("the stable Deployment takes the pods of %s for its own", track)
		}
		if image := container(t, d).Image; image != "registry.example.com/gatehouse:v0.2.0" {
			t.Errorf("%s runs %s", track, image)
		}
		hpa := one[*autoscalingv2.HorizontalPodAutoscaler](t, list, "gatehouse-"+track)
		if hpa.Spec.ScaleTargetRef.Name != d.Name {
			t.Errorf("%s: the autoscaler scales %s", track, hpa.Spec.ScaleTargetRef.Name)
		}
		budget := one[*policyv1.PodDisruptionBudget](t, list, "gatehouse-"+track)
		if !matches(t, budget.Spec.Selector, d.Spec.Template) || matches(t, budget.Spec.Selector, deployment(t, stable, "gatehouse").Spec.Template) {
			t.Errorf("%s: the budget is of other pods", track)
		}
		policy := one[*networkingv1.NetworkPolicy](t, list, "gatehouse-"+track)
		if !permits(t, policy, true, labels.Set{"k8s-app": "kube-dns"}, "kube-system", 53) {
			t.Errorf("%s cannot ask DNS", track)
		}
		checkMounted(t, list, d.Name)
		checkTraffic(t, track, list, stable, d)
	}
}

// checkTraffic wants the canary in the Services of the stable pods, and green in
// its own and in the one that is switched.
func checkTraffic(t *testing.T, track string, list, stable objects, d *appsv1.Deployment) {
	t.Helper()
	services := all[*corev1.Service](list)
	live := decode(t, []byte(pageFile(t, "deploy/kubernetes/live.yaml"))).(*corev1.Service)
	switch track {
	case "canary":
		if len(services) != 0 {
			t.Errorf("the canary brings services of its own: %v", services)
		}
		if s := one[*corev1.Service](t, stable, "gatehouse"); !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(d.Spec.Template.Labels)) {
			t.Errorf("the service does not lead to the canary: %v", s.Spec.Selector)
		}
	case "green":
		if len(services) != 2 || services[0].Spec.Selector["gatehouse.dev/track"] != "green" {
			t.Errorf("green's services: %v", services)
		}
		live.Spec.Selector["gatehouse.dev/track"] = "green" // as the page's patch does
		if !labels.SelectorFromSet(live.Spec.Selector).Matches(labels.Set(d.Spec.Template.Labels)) {
			t.Errorf("the live service does not lead to green: %v", live.Spec.Selector)
		}
	}
	for _, p := range live.Spec.Ports {
		if !slices.ContainsFunc(container(t, d).Ports, func(c corev1.ContainerPort) bool { return c.Name == p.TargetPort.StrVal }) {
			t.Errorf("the live service leads to port %v", p.TargetPort)
		}
	}
}

func pageFile(t *testing.T, name string) string {
	t.Helper()
	for _, block := range blocks(t, "yaml") {
		if rest, ok := strings.CutPrefix(block, "# "+name+"\n"); ok {
			return rest
		}
	}
	t.Fatalf("the page has no %s", name)
	return ""
}

func TestPageOfPrometheus(t *testing.T) {
	var conf struct {
		RuleFiles     []string `json:"rule_files"`
		ScrapeConfigs []struct {
			JobName             string              `json:"job_name"`
			KubernetesSDConfigs []map[string]string `json:"kubernetes_sd_configs"`
			RelabelConfigs      []map[string]any    `json:"relabel_configs"`
		} `json:"scrape_configs"`
	}
	if err := yaml.UnmarshalStrict([]byte(pageFile(t, "prometheus.yml")), &conf); err != nil {
		t.Fatal(err)
	}
	if len(conf.ScrapeConfigs) != 1 || conf.ScrapeConfigs[0].JobName != "gatehouse" {
		t.Errorf("%+v: want the job that the rules expect", conf)
	}
	if _, err := os.Stat(filepath.Join(root, "deploy", "observability", conf.RuleFiles[0])); err != nil {
		t.Error(err)
	}
	w := workloads(build(t, base))[0]
	if want := w.pod.Labels["app.kubernetes.io/name"] + ";" + w.pod.Spec.Containers[0].Ports[2].Name; conf.ScrapeConfigs[0].RelabelConfigs[0]["regex"] != want {
		t.Errorf("it keeps %v: want %s", conf.ScrapeConfigs[0].RelabelConfigs[0]["regex"], want)
	}
}
