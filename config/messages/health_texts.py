"""Messages of `cptdn doctor` and the health page: the part, what was found, and what to do."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "part.configuration": ("configuration", "配置"),
    "part.ledger": ("ledger", "账本"),
    "part.storage": ("storage", "存储"),
    "part.broker": ("broker", "消息代理"),
    "part.deliveries": ("deliveries", "发送"),
    "part.background": ("background work", "后台任务"),
    "part.node": ("node", "节点"),
    "part.model_bundle": ("model bundle", "模型包"),
    "part.workers": ("workers", "计算进程"),
    "part.audit": ("audit", "审计"),
    "part.fonts": ("fonts", "字体"),
    "part.pacs": ("PACS {name}", "PACS {name}"),
    "part.hl7": ("HL7 {name}", "HL7 {name}"),
    "health.defaults": ("built-in defaults", "内置默认值"),
    "health.init": ("`cptdn init` writes one for this site", "`cptdn init` 可为本中心生成配置"),
    "health.check_ledger": (
        "check [ledger] url, and that the database runs",
        "请检查 [ledger] url, 以及数据库是否运行",
    ),
    "health.ledger_unreachable": ("the ledger {url} cannot be reached: {why}", "无法访问账本 {url}: {why}"),
    "health.free": ("{root}: {free:.1f} GB free", "{root}: 剩余 {free:.1f} GB"),
    "health.too_little": (
        "objects are refused below {least:g} GB: free space or lower storage.min_free_gb",
        "低于 {least:g} GB 时拒收对象: 请释放空间或降低 storage.min_free_gb",
    ),
    "health.no_embedded_broker": ("the embedded broker does not run", "内置消息代理未运行"),
    "health.up_starts_it": ("`cptdn up` starts it", "`cptdn up` 可启动"),
    "health.no_embedded_broker_up": (
        "the embedded broker does not run; `cptdn up` starts it",
        "内置消息代理未运行; `cptdn up` 可启动",
    ),
    "health.check_broker": (
        "check [broker] url, and that the broker runs",
        "请检查 [broker] url, 以及消息代理是否运行",
    ),
    "health.waiting": ("{queues:list} messages waiting", "等待的消息: {queues:list}"),
    "health.unknown": ("unknown: {why}", "未知: {why}"),
    "health.deliveries": ("{open} open, {dead} given up", "未完成 {open} 项, 已放弃 {dead} 项"),
    "health.commitment_awaited": ("its commitment is awaited", "等待存储确认"),
    "health.oldest": (
        "the oldest open one is tried since {day}: {reason}",
        "最早未完成的一项自 {day} 起尝试: {reason}",
    ),
    "health.kept": (
        "{n} studies, {gb:.2f} GB are older than storage.retention_days and stay until their deliveries have ended",
        "{n} 个检查 ({gb:.2f} GB) 已超过 storage.retention_days, 在发送结束前保留",
    ),
    "health.work_fails": (
        "{work} of {process} on {host} fails since {since}: {error}",
        "{host} 上 {process} 的 {work} 自 {since} 起失败: {error}",
    ),
    "health.nothing_fails": ("{n} processes, nothing fails", "{n} 个进程, 无失败任务"),
    "health.see_log": (
        "it is tried again by itself; the log of that process has the first error",
        "程序会自动重试; 首个错误见该进程的日志",
    ),
    "health.several": ("{parts:semicolons}", "{parts:semicolons}"),
    "health.see_jobs": (
        "`cptdn jobs list --state dead --state pending --state sent` has the reasons; then `cptdn jobs retry`",
        "`cptdn jobs list --state dead --state pending --state sent` 可列出原因; 然后运行 `cptdn jobs retry`",
    ),
    "health.node": ("{ae} on {bind}:{port}", "{ae} ({bind}:{port})"),
    "health.node_listens": ("{where} listens", "{where} 正在监听"),
    "health.node_silent": ("{where} does not listen ({why})", "{where} 未在监听 ({why})"),
    "health.start_node": ("`cptdn up` or `cptdn node` starts it", "`cptdn up` 或 `cptdn node` 可启动"),
    "health.node_closed": (
        "{where} accepts no association from other machines",
        "{where} 不接受其他机器的连接",
    ),
    "health.name_pacs": (
        "name your PACS in node.allowed_calling_aes and node.allowed_addresses",
        "请在 node.allowed_calling_aes 与 node.allowed_addresses 中列出 PACS",
    ),
    "health.node_open": (
        "{where} accepts any address that uses an allowed AE title",
        "{where} 接受任何使用所允许 AE title 的地址",
    ),
    "health.ae_not_secret": (
        "AE titles are not secret: name your PACS in node.allowed_addresses, too, or use [node] tls",
        "AE title 并不保密: 请同时在 node.allowed_addresses 中列出 PACS, 或使用 [node] tls",
    ),
    "health.set_bundle": ("set [model] bundle, or ask the physicist", "请设置 [model] bundle, 或联系物理师"),
    "health.bundle": ("{name} {version}, {digest}: {use}", "{name} {version}, {digest}: {use}"),
    "health.change_setting": (
        "change that setting; the program does not start with it",
        "请更改该设置; 使用该设置时程序不会启动",
    ),
    "health.bundle_refused": ("{found}; refused: {reasons:sentences}", "{found}; 被拒绝: {reasons:sentences}"),
    "health.activate_other": (
        "activate another bundle; every study is refused (model_not_permitted)",
        "请启用其他模型包; 目前每个检查都被拒绝 (model_not_permitted)",
    ),
    "health.train_own": (
        "train a bundle of your own, or set model.allow_demonstration for a trial",
        "请训练自己的模型包, 或在试用时设置 model.allow_demonstration",
    ),
    "health.bundle_marked": ("{found}; marked: {reasons:sentences}", "{found}; 标注: {reasons:sentences}"),
    "health.ask_physicist": (
        "every report says so; ask the physicist whether the bundle should be used",
        "每份报告均会注明; 请与物理师确认是否应使用该模型包",
    ),
    "health.no_worker": ("none is running", "没有进程在运行"),
    "health.start_worker": ("`cptdn up` or `cptdn worker` starts one", "`cptdn up` 或 `cptdn worker` 可启动"),
    "health.no_cuda": (
        "expected a worker with CUDA (model.device), found {devices:list}",
        "应有使用 CUDA 的计算进程 (model.device), 实际为 {devices:list}",
    ),
    "health.workers": ("{workers:list}", "{workers:list}"),
    "health.no_audit": ("no audit trail is written", "未写审计记录"),
    "health.set_audit": ("set [audit] enabled = true", "请设置 [audit] enabled = true"),
    "health.audit_local": ("{folder}; no repository is configured", "{folder}; 未配置审计库"),
    "health.audit_refused": (
        "{where} does not accept messages ({why}); {n} bytes are pending",
        "{where} 不接受消息 ({why}); {n} 字节待发送",
    ),
    "health.audit_waits": (
        "nothing is lost: the trail is forwarded when the repository answers",
        "记录不会丢失: 审计库恢复应答后即转发",
    ),
    "health.audit_pending": ("{where}; {n} bytes are pending", "{where}; {n} 字节待发送"),
    "health.no_fonts": ("the fonts cannot be listed: {why}", "无法列出字体: {why}"),
    "health.check_matplotlib": ("check the installation of matplotlib", "请检查 matplotlib 的安装"),
    "health.no_matplotlib": (
        "matplotlib is not installed: no pages are drawn on this machine",
        "未安装 matplotlib: 本机不绘制页面",
    ),
    "health.fonts": ("{fonts:list}", "{fonts:list}"),
    "health.no_chinese_font": (
        "{fonts:list}; no Chinese font: pages are in English, names in Latin letters",
        "{fonts:list}; 没有中文字体: 页面为英文, 姓名用拉丁字母",
    ),
    "health.install_font": (
        "install a font with Chinese characters (Debian: fonts-noto-cjk); the workers find it by themselves",
        "请安装中文字体 (Debian: fonts-noto-cjk); 计算进程会自动找到",
    ),
    "health.check_stow": (
        "check stow_url, stow_token_file and TLS of this [[pacs]]",
        "请检查该 [[pacs]] 的 stow_url、stow_token_file 与 TLS",
    ),
    "health.check_pacs": (
        "check host, port, AE titles on both sides and TLS",
        "请检查 host、port、双方的 AE title 与 TLS",
    ),
    "health.echo": ("C-ECHO answered in {ms:.0f} ms", "C-ECHO 应答时间 {ms:.0f} ms"),
    "health.refuses": ("does not accept {what}", "不接受 {what}"),
    "health.enable_class": (
        "enable this SOP class at the PACS, or change `send`",
        "请在 PACS 启用该 SOP 类, 或更改 `send`",
    ),
    "health.check_hl7": (
        "check host, port and TLS of this [[hl7_out]], and the interface",
        "请检查该 [[hl7_out]] 的 host、port 与 TLS, 以及接口",
    ),
    "health.hl7": (
        "accepts connections at {host}:{port}; it gets {messages:list}, no message was sent for this check",
        "在 {host}:{port} 接受连接; 发往该处的消息为 {messages:list}, 此项检查未发送消息",
    ),
    "health.hl7_tls": (
        "accepts connections at {host}:{port}, TLS; it gets {messages:list}, no message was sent for this check",
        "在 {host}:{port} (TLS) 接受连接; 发往该处的消息为 {messages:list}, 此项检查未发送消息",
    ),
}
