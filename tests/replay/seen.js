{
  parsed(color) {
    const [red, green, blue, alpha = 1] = color.match(/[\d.]+/g).map(Number);
    return { rgb: [red, green, blue], alpha };
  },
  luminance(rgb) {
    const [red, green, blue] = rgb.map((part) => {
      const share = part / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  },
  ratio(one, other) {
    const [low, high] = [this.luminance(one), this.luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  },
  ground(element) {
    for (let at = element; at; at = at.parentElement) {
      const { rgb, alpha } = this.parsed(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return rgb;
    }
    return [255, 255, 255];
  },
  texts() {
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      const style = getComputedStyle(element);
      if (!walker.currentNode.data.trim() || style.visibility === "hidden") continue;
      const drawn = element.closest("svg");
      const scale = drawn ? drawn.getBoundingClientRect().width / drawn.viewBox.baseVal.width : 1;
      const color = this.parsed(drawn ? style.fill : style.color).rgb;
      found.push({
        text: walker.currentNode.data.trim().slice(0, 40),
        ratio: this.ratio(color, this.ground(element)),
        pixels: parseFloat(style.fontSize) * scale,
      });
    }
    return found;
  },
  marks(within) {
    return [...document.querySelectorAll(`${within} svg > rect`)].map((bar) => ({
      kind: bar.getAttribute("class"),
      height: bar.getBoundingClientRect().height,
      ratio: this.ratio(this.parsed(getComputedStyle(bar).fill).rgb, this.ground(bar)),
    }));
  },
  stickingOut() {
    const width = document.documentElement.clientWidth;
    return [...document.querySelectorAll("body *")]
      .filter((element) => !element.closest(".scroll") && element.getBoundingClientRect().right > width + 0.5)
      .map((element) => element.outerHTML.slice(0, 80));
  },
}
