// The picture of an explorer: mouse events go to Python, pictures and texts come from it.

const CLICK_PIXELS = 5; // the mouse moves less than this during a click
const LOOKS = `
.wrenlite-explorer { color: var(--jp-content-font-color1, inherit); font: 13px/1.5 var(--jp-ui-font-family, sans-serif) }
.wrenlite-explorer .stage { position: relative; max-width: 100%; cursor: zoom-in; touch-action: manipulation }
.wrenlite-explorer img { display: block; width: 100%; height: 100%; user-select: none; background: #808080 }
.wrenlite-explorer .box { position: absolute; box-sizing: border-box; border: 1px solid #fff; outline: 1px solid #000;
    pointer-events: none; display: none }
.wrenlite-explorer .bar { height: 3px; max-width: 100%; background: rgba(128, 128, 128, .3) }
.wrenlite-explorer .bar div { height: 100%; width: 0; background: #2f9e62 }
.wrenlite-explorer .status { min-height: 1.5em; font-variant-numeric: tabular-nums }
.wrenlite-explorer .problem { font-weight: bold; white-space: pre-wrap; overflow-wrap: anywhere }
.wrenlite-explorer .problem:empty { display: none }
.wrenlite-explorer .dead { display: none; font-weight: bold }
.wrenlite-explorer .link { display: flex; gap: 8px; align-items: baseline }
.wrenlite-explorer .link code { overflow-wrap: anywhere; user-select: all; color: inherit; background: none }
.wrenlite-explorer .link button { flex: none; color: inherit; background: none; border: 1px solid currentColor;
    border-radius: 2px; opacity: .75; cursor: pointer; font: inherit; padding: 0 6px }
.jupyter-widgets-disconnected.wrenlite-explorer .dead,
.jupyter-widgets-disconnected .wrenlite-explorer .dead { display: block }
.jupyter-widgets-disconnected.wrenlite-explorer .status,
.jupyter-widgets-disconnected .wrenlite-explorer .status { display: none }
`;
const views = new Map(); // how many times each explorer is on this page

function element(parent, kind, name, text = "") {
    const made = document.createElement(kind);
    made.className = name;
    made.textContent = text;
    parent.append(made);
    return made;
}

async function copy(code, button) {
    try {
        await navigator.clipboard.writeText(code.textContent);
    } catch { // without HTTPS there is no clipboard
        getSelection().selectAllChildren(code);
        document.execCommand("copy");
    }
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
}

function watchMouse(model, stage, box) {
    let start = null;
    const at = event => {
        const { left, top, width, height } = stage.getBoundingClientRect();
        const within = value => Math.min(1, Math.max(0, value));
        return { x: within((event.clientX - left) / width), y: within((event.clientY - top) / height), width, height };
    };
    const rectangle = end => [Math.min(start.x, end.x), Math.min(start.y, end.y),
        Math.max(start.x, end.x), Math.max(start.y, end.y)];
    const isClick = end => Math.hypot((end.x - start.x) * end.width, (end.y - start.y) * end.height) < CLICK_PIXELS;
    stage.addEventListener("pointerdown", event => {
        if (event.button !== 0) return;
        start = at(event);
        stage.setPointerCapture(event.pointerId);
        event.preventDefault(); // no dragging of the image
    });
    stage.addEventListener("pointermove", event => {
        if (!start) return;
        const [left, top, right, bottom] = rectangle(at(event)).map(share => `${100 * share}%`);
        box.style.cssText = `left: ${left}; top: ${top}; width: calc(${right} - ${left}); ` +
            `height: calc(${bottom} - ${top}); display: ${isClick(at(event)) ? "none" : "block"}`;
    });
    stage.addEventListener("pointerup", event => {
        if (!start) return;
        const end = at(event);
        if (event.shiftKey) model.send({ kind: "back" });
        else if (isClick(end)) model.send({ kind: "click", x: end.x, y: end.y });
        else model.send({ kind: "box", box: rectangle(end) });
        start = null;
        box.style.display = "none";
    });
    stage.addEventListener("pointercancel", () => { start = null; box.style.display = "none"; });
}

function render({ model, el }) {
    el.classList.add("wrenlite-explorer");
    const id = model.get("ident");
    // While this is on the page, the picture that is saved with the notebook is not shown.
    element(el, "style", "", `${LOOKS} .wrenlite-explored.${id} { display: none }`);
    const [width, height] = model.get("size");
    const stage = element(el, "div", "stage");
    stage.style.cssText = `width: ${width}px; aspect-ratio: ${width} / ${height}`;
    const image = element(stage, "img", "");
    image.draggable = false;
    const box = element(stage, "div", "box");
    const bar = element(el, "div", "bar");
    bar.style.width = `${width}px`;
    const done = element(bar, "div", "");
    const status = element(el, "div", "status");
    element(el, "div", "dead", "This needs the kernel, which has been restarted or is gone: run the cell again.");
    const problem = element(el, "div", "problem");
    problem.setAttribute("role", "alert");
    const links = element(el, "div", "links");
    watchMouse(model, stage, box);

    let newest = null;
    let shown = null;
    const draw = {
        async picture() {
            const address = URL.createObjectURL(new Blob([model.get("picture")], { type: "image/jpeg" }));
            const next = new Image();
            next.src = address;
            newest = next;
            await next.decode().catch(() => {}); // the new picture replaces the old one without a gap
            if (newest !== next) { // a newer one came meanwhile
                URL.revokeObjectURL(address);
                return;
            }
            if (shown) URL.revokeObjectURL(shown);
            image.src = shown = address;
            image.alt = model.get("alt");
        },
        progress() {
            done.style.width = `${100 * model.get("progress")}%`;
            bar.style.visibility = model.get("progress") < 1 ? "visible" : "hidden";
        },
        status() { status.textContent = model.get("status"); },
        problem() { problem.textContent = model.get("problem"); },
        links() {
            links.replaceChildren();
            for (const text of model.get("links")) {
                const link = element(links, "div", "link");
                const button = element(link, "button", "", "copy");
                const code = element(link, "code", "", text);
                button.addEventListener("click", () => copy(code, button));
            }
        },
    };
    for (const [name, update] of Object.entries(draw)) {
        model.on(`change:${name}`, update);
        update();
    }
    views.set(id, (views.get(id) ?? 0) + 1);
    if (views.get(id) === 1) model.send({ kind: "here" });
    return () => {
        for (const [name, update] of Object.entries(draw)) model.off(`change:${name}`, update);
        if (shown) URL.revokeObjectURL(shown);
        views.set(id, views.get(id) - 1);
        if (views.get(id) === 0) model.send({ kind: "gone" });
    };
}

export default { render };
