//! The words of a page, in each language.

use crate::catalogue::Aggregate;
use crate::plan::Usage;

pub(super) struct Words {
    pub(super) title: &'static str,
    pub(super) who: &'static str,
    pub(super) holder: &'static str,
    pub(super) receiver: &'static str,
    pub(super) dealer: &'static str,
    pub(super) proposes: &'static str,
    pub(super) why: &'static str,
    pub(super) columns: &'static str,
    pub(super) rows: &'static str,
    pub(super) leaves: &'static str,
    pub(super) answers: &'static str,
    pub(super) counts: &'static str,
    pub(super) to_whom: &'static str,
    pub(super) how_often: &'static str,
    pub(super) once: &'static str,
    pub(super) until_before: &'static str,
    pub(super) protected: &'static str,
    pub(super) model: &'static str,
    pub(super) no_randomness: &'static str,
    pub(super) own_randomness: &'static str,
    pub(super) dealt: &'static str,
    pub(super) no_minimum: &'static str,
    pub(super) minimum: &'static str,
    pub(super) learns: &'static str,
    pub(super) risks: &'static str,
    pub(super) risks_always: &'static [&'static str],
    pub(super) stop: &'static str,
    pub(super) stop_how: &'static [&'static str],
    pub(super) job: &'static str,
    pub(super) contract: &'static str,
    pub(super) plan: &'static str,
    pub(super) comma: &'static str,
    is_chinese: bool,
}

impl Words {
    pub(super) fn usage(&self, usage: Usage) -> &'static str {
        let (en, zh) = match usage {
            Usage::Filter => ("decides which rows count", "决定哪些行计入"),
            Usage::GroupBy => ("groups are formed by it", "用于分组"),
            Usage::GroupByHidden => (
                "groups are formed by its values, which are shown for released groups",
                "按其取值分组,仅显示已放行分组的取值",
            ),
            Usage::Aggregate(aggregate) => aggregated(aggregate),
            Usage::Compute => (
                "feeds a computation in the holder's own query",
                "在持有方自己的查询中参与计算",
            ),
            Usage::JoinKey => (
                "is compared with keys of other holders, without being shown",
                "与其他持有方的键比对,不出示",
            ),
            Usage::RowLevel => (
                "receivers learn which of their rows match it (row-level output)",
                "接收方得知自己的哪些行与之匹配(行级输出)",
            ),
            Usage::Label => ("a model explains it", "作为模型的标签"),
            Usage::Feature => ("a model explains a label by it", "作为模型的特征"),
        };
        if self.is_chinese { zh } else { en }
    }
}

fn aggregated(aggregate: Aggregate) -> (&'static str, &'static str) {
    match aggregate {
        Aggregate::Count => ("counted", "计数"),
        Aggregate::Sum => ("added up", "求和"),
        Aggregate::Avg => ("averaged", "求平均"),
        Aggregate::Var => ("its variance is computed", "求方差"),
        Aggregate::Corr => ("its correlation is computed", "求相关"),
        Aggregate::Min => ("its smallest value, of a single row", "最小值(单行的值)"),
        Aggregate::Max => ("its greatest value, of a single row", "最大值(单行的值)"),
        Aggregate::Median => ("its median", "中位数"),
        Aggregate::Quantile => ("its quantiles", "分位数"),
        Aggregate::CountDistinct => ("its different values are counted", "统计不同取值的个数"),
    }
}

pub(super) const EN: Words = Words {
    title: "WHAT YOU ARE ASKED TO AGREE TO",
    who: "Who takes part",
    holder: "brings data and computes",
    receiver: "computes and receives, brings no data",
    dealer: "deals random numbers, sees no data and no result; must not collude with any of the others",
    proposes: "; asks for this",
    why: "Why",
    columns: "Which columns are read, and what is done with them",
    rows: "{holder}: at most {n} rows",
    leaves: "What leaves the holders, and to whom it is opened",
    answers: "the answer yes or no, compared on shares",
    counts: "the counts themselves",
    to_whom: "Who gets the result",
    how_often: "How often, and until when",
    once: "one run; a second one needs another agreement",
    until_before: "it must have started by",
    protected: "How it is protected",
    model: "each holder's rows stay on its machine; the parties compute on secret shares, and a party that follows the protocol learns only what is written below, even if all the others pool what they see",
    no_randomness: "no correlated random numbers are needed",
    own_randomness: "correlated random numbers are made by the parties themselves, without a third party",
    dealt: "correlated random numbers are dealt by {dealer}",
    no_minimum: "NO minimum: groups of any size are opened",
    minimum: "groups of fewer than {n} are not opened to anybody (asked for by {who})",
    learns: "What each party learns",
    risks: "What remains a risk",
    risks_always: &[
        "a party that departs from the protocol can falsify the result; what it signed shows what it claimed",
        "results of several agreements can tell together what none of them tells alone",
        "a result about groups can still say something about persons who are known to belong to them",
    ],
    stop: "How to stop it",
    stop_how: &[
        "before it starts: entente job reject {id} --reason TEXT, or let it expire",
        "at any time, by any one party: entente job cancel {id}",
    ],
    job: "job     ",
    contract: "contract",
    plan: "plan    ",
    comma: ", ",
    is_chinese: false,
};

pub(super) const ZH: Words = Words {
    title: "请您同意的内容",
    who: "参与方",
    holder: "提供数据并参与计算",
    receiver: "参与计算并接收结果,不提供数据",
    dealer: "分发随机数,看不到数据与结果;不得与任何其他方串通",
    proposes: ";由其提出",
    why: "目的",
    columns: "读取哪些列、作何用途",
    rows: "{holder}:最多 {n} 行",
    leaves: "哪些内容离开持有方、向谁公开",
    answers: "仅公开是或否(在秘密份额上比较)",
    counts: "计数本身",
    to_whom: "谁得到结果",
    how_often: "次数与期限",
    once: "运行一次;再次运行须另行同意",
    until_before: "最迟开始时间",
    protected: "如何保护",
    model: "各持有方的行数据不离开本机;各方在秘密份额上计算,遵守协议的一方即使与其他各方合并所见,也只得知下文所列内容",
    no_randomness: "不需要相关随机数",
    own_randomness: "相关随机数由各方自行生成,无第三方",
    dealt: "相关随机数由 {dealer} 分发",
    no_minimum: "没有最小分组:任何大小的分组都会公开",
    minimum: "少于 {n} 的分组不向任何人公开(要求者:{who})",
    learns: "各方得知的内容(以英文原文为准)",
    risks: "剩余风险",
    risks_always: &[
        "不遵守协议的一方可以篡改结果;其签名可证明其所声称的内容",
        "多份约定的结果合在一起,可能说明任何一份单独不能说明的事",
        "关于分组的结果仍可能说明已知属于该组的人的情况",
    ],
    stop: "如何停止",
    stop_how: &[
        "开始之前:entente job reject {id} --reason 理由,或任其过期",
        "任何时候、任何一方:entente job cancel {id}",
    ],
    job: "任务",
    contract: "合同",
    plan: "计划",
    comma: "、",
    is_chinese: true,
};
